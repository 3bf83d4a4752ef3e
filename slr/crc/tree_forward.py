"""A model's forward over a token tree, one decoder layer at a time, for one hidden state or many at once.

Prompts are packed into a token tree (``slr.crc.token_tree``), so a beginning that they share is computed
once. Two more savings are exact as well. States that pass the same layer pass it together, as many in one
call as the device computes best. At the last layer only the prompts' last tokens go on, once the keys and
values of all tokens are known. Masks, position embeddings, final norm, LM head and soft-capping come from the
model's own forward.

Shape letters: R models (hidden states), N tokens of the tree, D hidden size, P prompts, C characters, V
vocabulary, B batch.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from slr.crc.layer_check import allowed_error, check_layer_by_layer, in_float32
from slr.crc.layer_inputs import LayerInputs, tree_layers
from slr.crc.scoring import (
    MAX_LOGIT_BYTES,
    EncodedPrompts,
    PromptScores,
    character_log_probs,
    scores_from_log_probs,
)
from slr.crc.token_tree import KeysAndValues, TokenTree
from slr.hybrid import with_layers
from slr.models.decoder import exact_tree_tokens, layers_only_attend
from slr.models.streaming import weights_in_memory
from slr.models.transformers_internals import is_dispatched

DEFAULT_MEMORY_BUDGET = 2 * 2**30
"""Bytes for hidden states and one layer call on a CPU. Prompts that need more are computed in several
groups.
"""

CHUNK_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens in one layer call, by device: few enough for the cache of a CPU, enough to fill a GPU."""

LAYER_CALL_FACTOR = 24
"""Working memory of a layer call as a multiple of its hidden states: a generous bound for attention and
MLP.
"""


def memory_budget(model: PreTrainedModel) -> int:
    """Choose how many bytes a forward over a tree may use.

    Returns:
        Half of the free bytes of the model's fullest GPU; ``DEFAULT_MEMORY_BUDGET`` on a CPU.
    """
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return min(map(_free_bytes, devices)) // 2 if devices else DEFAULT_MEMORY_BUDGET


def _free_bytes(gpu: torch.device) -> int:
    """Count the free bytes of a GPU, including the ones that PyTorch has reserved and not used."""
    kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
    return torch.cuda.mem_get_info(gpu)[0] + kept


def prompt_groups(
    encoded: EncodedPrompts, model: PreTrainedModel, memory_budget_bytes: int, num_states: int
) -> list[list[int]]:
    """Split the prompts into as few groups as possible, so that a group's states fit half the memory budget.

    A layer with linear attention, a state or a convolution takes a tree for one prompt. So each prompt is a group of
    its own for a model with such layers. A group of Llama 4 has fewer tokens than the place from which its queries are
    scaled.

    Args:
        encoded: the P prompts.
        model: the model whose states they are.
        memory_budget_bytes: bytes for hidden states and intermediates.
        num_states: number of states that are held at once.

    Returns:
        For each group, the places of its prompts.

    Raises:
        ValueError: if the states of a single prompt do not fit, and says how large a budget would do; or if a prompt
            is too long to be exact.
    """
    hidden_size = model.config.get_text_config(decoder=True).hidden_size
    token_bytes = hidden_size * torch.finfo(model.dtype).bits // 8
    affordable = memory_budget_bytes // 2 // (token_bytes * num_states)
    exact = exact_tree_tokens(model.config)
    longest = max(map(len, encoded.token_ids))
    if longest > exact:
        raise ValueError(
            f"a prompt has {longest:,} tokens, expected at most {exact:,}: {type(model).__name__} scales queries from "
            "there on by their place, which packing prompts changes; give shorter prompts, or score single models with "
            "slr score"
        )
    num_prompts = len(encoded.prompts)
    largest = 0
    # Prompts of one group share tokens in a tree, and a few large groups compute less than many small ones.
    fewest = 1 if layers_only_attend(model.config) else num_prompts
    for num_groups in range(fewest, num_prompts + 1):
        bounds = np.linspace(0, num_prompts, num_groups + 1).astype(int)
        groups = [list(range(low, high)) for low, high in pairwise(bounds)]
        largest = max(len(TokenTree.build(encoded.subset(group).token_ids)) for group in groups)
        if largest <= min(affordable, exact):
            return groups
    raise ValueError(
        f"a memory budget of {memory_budget_bytes / 2**20:.0f} MiB does not hold the states of a single "
        f"prompt ({largest} tokens, {num_states} states); give at least "
        f"{2 * token_bytes * num_states * largest / 2**20:.0f} MiB"
    )


def score_by_tree(models: Iterable[PreTrainedModel], encoded: EncodedPrompts) -> Iterator[PromptScores]:
    """Compute the CRC scores of several models of one architecture, faster than ``score_model`` does.

    Args:
        models: the models, which may be made one at a time.
        encoded: the P prompts.

    Yields:
        The scores of each model, in order.

    Raises:
        UnusablePairError: if the first model's plain forward fails, or gives other scores.
    """
    trees: list[tuple[EncodedPrompts, LayerInputs]] = []
    for model in models:
        if not trees:
            allowed = allowed_error(model.dtype)
            check_layer_by_layer(in_float32(model), encoded, tree_log_probs, allowed)
            trees = trees_of(model, encoded)
        else:
            trees = [(prompts, inputs.for_other_weights(model)) for prompts, inputs in trees]
        log_probs_PC = _log_probs(model, trees)
        # The loop asks for the next model only after this one is freed, because a soup can fill the memory.
        is_spread = is_dispatched(model)
        del model
        if is_spread:
            # accelerate's hooks and the model hold each other, so only the garbage collector frees it.
            gc.collect()
        yield scores_from_log_probs(log_probs_PC[None], encoded)[0]


def tree_log_probs(model: PreTrainedModel, encoded: EncodedPrompts) -> NDArray[np.float64]:
    """Compute the log-probability of each character as the next token, by tree.

    The result is that from ``answer_log_probs``, computed faster.

    Returns:
        Log-probabilities in nats, shape (P, C).
    """
    return _log_probs(model, trees_of(model, encoded))


def trees_of(model: PreTrainedModel, encoded: EncodedPrompts) -> list[tuple[EncodedPrompts, LayerInputs]]:
    """Pack prompts into as few trees as possible, for one state of the model.

    Returns:
        The prompts of each tree, and what the model's forward passes to its layers for the tree.
    """
    groups = map(encoded.subset, prompt_groups(encoded, model, memory_budget(model), num_states=1))
    return [(group, LayerInputs.from_tree(model, TokenTree.build(group.token_ids))) for group in groups]


@torch.inference_mode()
def _log_probs(
    model: PreTrainedModel, trees: Iterable[tuple[EncodedPrompts, LayerInputs]]
) -> NDArray[np.float64]:
    found = []
    for prompts, inputs in trees:
        forward = TreeForward(model, prompts, inputs, memory_budget(model))
        state_1ND = inputs.embedded_1ND.clone()
        for index, layer in enumerate(forward.layers[:-1]):
            forward.advance(layer, index, [state_1ND])
        found.append(forward.finish(forward.layers[-1], state_1ND)[0])
    return np.concatenate(found)


class TreeForward:
    """Passes hidden states (R, N, D) of a token tree through decoder layers.

    Attributes:
        layers: the model's own layers, ready for ``advance`` and ``finish``. ``tree_layers`` prepares the
            layers of other models in the same way.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        encoded: EncodedPrompts,
        inputs: LayerInputs,
        memory_budget_bytes: int,
        on_layer_evaluations: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare the layers and the head of a model.

        Args:
            model: the model whose layers and head are used.
            encoded: the P prompts and their characters.
            inputs: what the model's forward passes to its layers for the prompts' tree.
            memory_budget_bytes: bytes for hidden states and one layer call.
            on_layer_evaluations: called with the number of states that have passed a layer.
        """
        self.layers = tree_layers(model)
        self._inputs = inputs
        self._encoded = encoded
        self._head = with_layers(model, [])
        self._states_per_call = _states_per_call(inputs.embedded_1ND, memory_budget_bytes)
        self._on_layer_evaluations = on_layer_evaluations

    def advance(self, layer: nn.Module, index: int, groups: Sequence[torch.Tensor]) -> None:
        """Pass groups of states through one layer, in place.

        Args:
            layer: the layer; its weights are not read if there are no states.
            index: index of the layer in the model, from 0.
            groups: states of shape (R, N, D), where R may differ between groups.
        """
        chunks = [
            chunk for states_RND in groups for chunk in states_RND.split(self._states_per_call) if len(chunk)
        ]
        if not chunks:
            return
        with weights_in_memory(layer) as compute:
            for chunk_RND in chunks:
                chunk_RND.copy_(compute(chunk_RND, **self._inputs.arguments[index]))
                self._on_layer_evaluations(len(chunk_RND))

    def finish(self, layer: nn.Module, states_RND: torch.Tensor) -> NDArray[np.float64]:
        """Pass states (R, N, D) through the last layer and the model's head.

        Returns:
            Log-probability of each character as the next token, in nats, shape (R, P, C).
        """
        if not len(states_RND):
            return np.empty((0, len(self._encoded.prompts), len(self._encoded.characters)))
        with weights_in_memory(layer) as compute:
            return np.concatenate(
                [
                    self._answer_log_probs(self._last_layer(compute, chunk_RND))
                    for chunk_RND in states_RND.split(self._states_per_call)
                ]
            )

    def _last_layer(self, layer: nn.Module, states_RND: torch.Tensor) -> torch.Tensor:
        """Compute the last layer's output at each prompt's last token; the head needs no more.

        Returns:
            Hidden states, shape (R, P, D).

        Raises:
            RuntimeError: if the layer does not attend through transformers' attention interface, and there are
                several prompts.
        """
        # Only an exception can leave a layer halfway, because the layer's code is not ours. The first call runs the
        # layer on all tokens as far as its attention, which raises with the keys and values. Attention over all
        # tokens, output projection and MLP never run. The second call runs only the last tokens through the layer.
        try:
            output_RND = layer(states_RND, **self._inputs.storing_arguments)
        except KeysAndValues as stored:
            hidden_RPD = layer(
                states_RND[:, self._inputs.tree.last_tokens],
                **self._inputs.last_token_arguments(stored),
            )
        else:
            # A layer without attention has computed all tokens, which is right only if they are one prompt.
            if len(self._inputs.tree.paths) > 1:
                raise RuntimeError(
                    f"{type(layer).__name__} does not attend through transformers' attention interface"
                )
            hidden_RPD = output_RND[:, self._inputs.tree.last_tokens]
        self._on_layer_evaluations(len(states_RND))
        return hidden_RPD

    def _answer_log_probs(self, hidden_RPD: torch.Tensor) -> NDArray[np.float64]:
        # Logits of a large vocabulary can be larger than all hidden states, so the head gets few rows at a time.
        rows_per_call = max(1, MAX_LOGIT_BYTES // (4 * self._head.config.get_text_config().vocab_size))
        log_probs = [
            character_log_probs(
                self._head(inputs_embeds=rows_BD[:, None], use_cache=False).logits[:, -1],
                self._encoded.character_tokens,
                self._encoded.min_p,
            )
            for rows_BD in hidden_RPD.flatten(0, 1).split(rows_per_call)
        ]
        return torch.cat(log_probs).unflatten(0, hidden_RPD.shape[:2]).cpu().numpy()


def _states_per_call(state_1ND: torch.Tensor, memory_budget_bytes: int) -> int:
    _, num_tokens, hidden_size = state_1ND.shape
    # Half of the budget is left to the hidden states that wait for their turn.
    affordable = memory_budget_bytes // 2 // (state_1ND.element_size() * hidden_size * LAYER_CALL_FACTOR)
    wanted = CHUNK_TOKENS.get(state_1ND.device.type, CHUNK_TOKENS["cuda"])
    return max(1, min(wanted, affordable) // num_tokens)
