"""A model's forward over a token tree, a decoder layer at a time, for one hidden state or many at once.

Prompts are packed into a token tree (``slr.crc.token_tree``), so a beginning that they share is computed once. Two
more savings, both exact: states that are to go through the same layer go through it together, as many to a call as
the device computes best, and at the last layer only the prompts' last tokens go on once the keys and values of all
tokens are known. Masks, position embeddings, final norm, LM head and soft-capping come from the model's own forward.

Shape letters: R states (models), N tokens of the tree, D hidden size, P prompts, C characters, V vocabulary.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence

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
from slr.models.streaming import weights_in_memory

DEFAULT_MEMORY_BUDGET = 2 * 2**30
"""On a CPU: bytes for hidden states and for one layer call; a search takes more prompts than fit in several groups."""

CHUNK_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens to a layer call: few enough to stay in a CPU's cache, enough to fill a GPU."""

LAYER_CALL_FACTOR = 24
"""A layer call's working memory, in hidden states: attention and MLP intermediates, generously."""


def memory_budget(model: PreTrainedModel) -> int:
    """Bytes taken by default: half of what is free on the model's fullest GPU; ``DEFAULT_MEMORY_BUDGET`` on a CPU."""
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return min(map(_free_bytes, devices)) // 2 if devices else DEFAULT_MEMORY_BUDGET


def _free_bytes(gpu: torch.device) -> int:
    """What PyTorch keeps for later tensors is free, too, although the GPU counts it as taken."""
    kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
    return torch.cuda.mem_get_info(gpu)[0] + kept


def score_by_tree(models: Iterable[PreTrainedModel], encoded: EncodedPrompts) -> Iterator[PromptScores]:
    """CRC scores of models of one architecture, one after the other, as ``score_model`` gives them but faster.

    Raises:
        UnusablePairError: if the first one's plain forward fails, or gives other scores.
    """
    inputs = None
    for model in models:
        if inputs is None:
            allowed = allowed_error(model.dtype)
            check_layer_by_layer(in_float32(model), encoded, tree_log_probs, allowed)
            inputs = LayerInputs.of_tree(model, TokenTree.build(encoded.token_ids))
        else:
            inputs = inputs.of_other_weights(model)
        log_probs_PC = _log_probs(model, encoded, inputs)
        # It may be a soup, and so large that the next one has no room beside it.
        is_spread = "_hf_hook" in vars(model)
        del model
        if is_spread:  # what spreads it over devices holds it, too
            gc.collect()
        yield scores_from_log_probs(log_probs_PC[None], encoded.prompts, encoded.characters)[0]


def tree_log_probs(model: PreTrainedModel, encoded: EncodedPrompts) -> NDArray[np.float64]:
    """Log-probability of each character as the next token, shape (P, C): ``answer_log_probs``, but faster."""
    return _log_probs(model, encoded, LayerInputs.of_tree(model, TokenTree.build(encoded.token_ids)))


@torch.inference_mode()
def _log_probs(model: PreTrainedModel, encoded: EncodedPrompts, inputs: LayerInputs) -> NDArray[np.float64]:
    forward = TreeForward(model, encoded, inputs, memory_budget(model))
    state_1ND = inputs.embedded_1ND.clone()
    for index, layer in enumerate(forward.layers[:-1]):
        forward.advance(layer, index, [state_1ND])
    return forward.finish(forward.layers[-1], state_1ND)[0]


class TreeForward:
    """Puts hidden states (R, N, D) of the prompts' token tree through decoder layers, the model's or others like them.

    ``layers`` are the model's own, ready for ``advance`` and ``finish``; those of other models are made so by
    ``tree_layers``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        encoded: EncodedPrompts,
        inputs: LayerInputs,
        memory_budget_bytes: int,
        on_layer_evaluations: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.layers = tree_layers(model)
        self._inputs = inputs
        self._encoded = encoded
        self._head = with_layers(model, [])
        self._states_per_call = _states_per_call(inputs.embedded_1ND, memory_budget_bytes)
        self._on_layer_evaluations = on_layer_evaluations

    def advance(self, layer: nn.Module, index: int, groups: Sequence[torch.Tensor]) -> None:
        """Put groups of states (R, N, D) through one layer, in place; it is not read if there are none."""
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
        """Put states through the last layer and the model's head; log-probabilities (R, P, C)."""
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
        """The last layer's output (R, P, D) at each prompt's last token, all that the head looks at."""
        try:
            layer(states_RND, **self._inputs.storing_arguments)
        except KeysAndValues as stored:
            hidden_RPD = layer(
                states_RND[:, self._inputs.tree.last_tokens],
                **self._inputs.last_token_arguments(stored),
            )
        else:
            raise RuntimeError(
                f"{type(layer).__name__} does not attend through transformers' attention interface"
            )
        self._on_layer_evaluations(len(states_RND))
        return hidden_RPD

    def _answer_log_probs(self, hidden_RPD: torch.Tensor) -> NDArray[np.float64]:
        rows_per_call = max(1, MAX_LOGIT_BYTES // (4 * self._head.config.get_text_config().vocab_size))
        log_probs = [
            character_log_probs(
                self._head(inputs_embeds=rows_BD[:, None], use_cache=False).logits[:, -1],
                self._encoded.character_tokens,
            )
            for rows_BD in hidden_RPD.flatten(0, 1).split(rows_per_call)
        ]
        return torch.cat(log_probs).unflatten(0, hidden_RPD.shape[:2]).cpu().numpy()


def _states_per_call(state_1ND: torch.Tensor, memory_budget_bytes: int) -> int:
    _, num_tokens, hidden_size = state_1ND.shape
    affordable = memory_budget_bytes // 2 // (state_1ND.element_size() * hidden_size * LAYER_CALL_FACTOR)
    wanted = CHUNK_TOKENS.get(state_1ND.device.type, CHUNK_TOKENS["cuda"])
    return max(1, min(wanted, affordable) // num_tokens)
