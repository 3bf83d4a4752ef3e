"""What a model's own forward passes to its decoder layers, recorded for a token tree.

Masks, position embeddings and all other arguments of a layer come from the model itself. So the sliding
windows and rotary embeddings of each layer are right, and nothing here depends on the architecture.

Shape letters: R models (hidden states), N tokens of the tree, D hidden size, H heads, E size of a head, T
tokens of the longest prompt.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from slr.crc.token_tree import ATTENTION_NAME, KeysAndValues, TokenTree, TreeAttention
from slr.hybrid import shallow_copy, with_layers
from slr.models.decoder import decoder_layers
from slr.models.streaming import LayerOnDisk
from slr.models.transformers_internals import attention_implementation, set_attention_implementation


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What the model's own forward passes to its layers for a token tree.

    Attributes:
        tree: the N tokens.
        embedded_1ND: embedded tokens, the input of the first layer.
        arguments: keyword arguments of each layer.
    """

    tree: TokenTree
    embedded_1ND: torch.Tensor
    arguments: list[dict[str, Any]]
    storing_arguments: dict[str, Any]
    _last_arguments: dict[str, Any]

    @classmethod
    @torch.inference_mode()
    def from_tree(cls, model: PreTrainedModel, tree: TokenTree) -> LayerInputs:
        """Record the model's forward over the tree.

        Args:
            model: any model whose layers attend by "eager" or "sdpa".
            tree: the N tokens of the prompts.

        Raises:
            ValueError: if the model was loaded with another attention implementation.
        """
        implementation = attention_of(model)
        # Three forwards are recorded, because no single one shows everything. (1) The longest prompt alone, as a
        # plain sequence: the model builds its real masks for it, with sliding windows where it has them. The tree
        # is no plain sequence, so a mask that the model built for it would be wrong.
        longest = tree.longest_path
        tokens = [tree.token_ids[node] for node in longest]
        _, prompt_arguments = _record_layer_calls(model, tokens, list(range(len(longest))))
        causal = torch.ones(len(longest), len(longest), dtype=torch.bool, device=model.device).tril()
        masks = [arguments["attention_mask"] for arguments in prompt_arguments]
        # (2) The whole tree, each token at its own position: its embeddings and its position embeddings.
        embedded_1ND, arguments = _record_layer_calls(model, tree.token_ids, tree.positions)
        dtype = embedded_1ND.dtype
        # Layers of one kind get the same mask object, so its id shows which layers can share one attention plan.
        by_mask = {
            id(mask): TreeAttention.for_all_tokens(tree, _may_attend(mask, causal), dtype, implementation)
            for mask in {id(mask): mask for mask in masks}.values()
        }
        for layer_arguments, mask in zip(arguments, masks, strict=True):
            layer_arguments["attention_mask"] = None
            layer_arguments["tree_attention"] = by_mask[id(mask)]
        # (3) The last tokens alone: the last layer needs their position embeddings, and no others, as queries.
        last = tree.last_tokens
        _, at_last_tokens = _record_layer_calls(
            model, [tree.token_ids[node] for node in last], [tree.positions[node] for node in last]
        )
        may_attend = _may_attend(masks[-1], causal)
        last_attention = TreeAttention.for_last_tokens(tree, may_attend, dtype, implementation)
        last_arguments = {**at_last_tokens[-1], "attention_mask": None, "tree_attention": last_attention}
        storing = {**arguments[-1], "tree_attention": last_attention.storing()}
        return cls(tree, embedded_1ND, arguments, storing, last_arguments)

    @torch.inference_mode()
    def for_other_weights(self, model: PreTrainedModel) -> LayerInputs:
        """Make the inputs for a model of the same configuration with other weights, such as another hybrid.

        Only the embeddings depend on the weights, so only they are recorded again.
        """
        embedded_1ND, _ = _record_layer_calls(model, self.tree.token_ids, self.tree.positions)
        return replace(self, embedded_1ND=embedded_1ND)

    def last_token_arguments(self, stored: KeysAndValues) -> dict[str, Any]:
        """Make the last layer's arguments for a call with the prompts' last tokens only.

        Args:
            stored: keys and values of all N tokens at the last layer.
        """
        attention = self._last_arguments["tree_attention"].with_stored(stored.keys, stored.values)
        return {**self._last_arguments, "tree_attention": attention}


def attention_of(model: PreTrainedModel) -> str:
    """Find the name of the model's attention implementation.

    Raises:
        ValueError: if it cannot be used over a tree.
    """
    implementation = attention_implementation(model.config)
    if implementation not in ("eager", "sdpa"):
        raise ValueError(
            f"the search needs a model loaded with attn_implementation 'eager' or 'sdpa', got {implementation!r}"
        )
    return implementation


class _Recorder(nn.Module):
    """A stand-in for a decoder layer that records what it is called with and returns its input."""

    def __init__(self, layer: nn.Module, calls: list[tuple[torch.Tensor, dict[str, Any]]]) -> None:
        super().__init__()
        self._layer = layer
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # such as a layer's attention type, which some models look at
            return getattr(super().__getattr__("_layer"), name)

    def forward(self, hidden_states: torch.Tensor, *positional: Any, **named: Any) -> torch.Tensor:
        layer = self._layer
        while isinstance(layer, LayerOnDisk):
            layer = layer.stand_in
        _, *names = inspect.signature(layer.forward).parameters
        self._calls.append((hidden_states, {**dict(zip(names, positional, strict=False)), **named}))
        return hidden_states


def _record_layer_calls(
    model: PreTrainedModel, token_ids: Sequence[int], positions: Sequence[int]
) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Embedded tokens (1, N, D), and every layer's keyword arguments, from the model's own forward."""
    calls: list[tuple[torch.Tensor, dict[str, Any]]] = []
    recording = with_layers(model, [_Recorder(layer, calls) for layer in decoder_layers(model)])
    recording(
        input_ids=torch.tensor([token_ids], device=model.device),
        position_ids=torch.tensor([positions], device=model.device),
        use_cache=False,
        logits_to_keep=1,
    )
    return calls[0][0], [arguments for _, arguments in calls]


def _may_attend(mask: torch.Tensor | None, causal_TT: torch.Tensor) -> torch.Tensor:
    """Convert a layer's mask for one plain prompt into a boolean mask (T, T); None means plainly causal."""
    if mask is None:
        return causal_TT
    return mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] == 0


def tree_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Copy the model's decoder layers so that they attend over a token tree; the copies share its tensors."""
    configs: dict[int, PreTrainedConfig] = {}
    return [_attending_over_a_tree(layer, configs) for layer in decoder_layers(model)]


def _attending_over_a_tree(module: nn.Module, configs: dict[int, PreTrainedConfig]) -> nn.Module:
    """Copy a module and its children with their attention switched to the tree; the copies share all tensors.

    Args:
        module: the module to copy.
        configs: configurations copied so far, by the id of the original, so that modules go on to share one.
    """
    clone = shallow_copy(module)
    config = vars(clone).get("config")
    if config is not None:
        if id(config) not in configs:
            # A deep copy, because setting a configuration's attention also sets it in the configurations inside it.
            configs[id(config)] = copy.deepcopy(config)
            set_attention_implementation(configs[id(config)], ATTENTION_NAME)
        vars(clone)["config"] = configs[id(config)]
    for name, child in module.named_children():
        clone.add_module(name, _attending_over_a_tree(child, configs))
    return clone
