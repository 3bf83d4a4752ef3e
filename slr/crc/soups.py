"""Score soups of a pair: one after the other in memory, or all in one walk over layers on disk.

A soup mixes both models in every layer. If each soup were made by itself, each would read both checkpoints. So where
the layers are on disk, every soup has a state, and all states pass a layer while both models' weights of it are there.

Shape letters: A soups, N tokens of the tree, D hidden size, P prompts, C characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slr.crc.layer_check import allowed_error, check_layer_by_layer, in_float32
from slr.crc.layer_inputs import LayerInputs, tree_layers
from slr.crc.scoring import EncodedPrompts, PromptScores, scores_from_log_probs
from slr.crc.token_tree import TokenTree
from slr.crc.tree_forward import TreeForward, memory_budget, prompt_groups, score_by_tree, tree_log_probs
from slr.hybrid import interpolate, restored_layer
from slr.intervals import Stack
from slr.models.loading import ModelPair
from slr.models.streaming import is_streamed, weights_in_memory


def score_soups(pair: ModelPair, alphas: Sequence[float], encoded: EncodedPrompts) -> Iterator[PromptScores]:
    """Compute the CRC scores of a pair's soups.

    Args:
        pair: the two models; they are not altered.
        alphas: share of the base model in each soup, in [0, 1].
        encoded: the P prompts.

    Yields:
        The scores of each soup, in order.

    Raises:
        UnusablePairError: if the first soup's plain forward fails, or gives other scores.
        ValueError: if an alpha is not in [0, 1].
    """
    if not alphas or not is_streamed(pair.instruct_model):
        yield from score_by_tree((interpolate(pair, alpha) for alpha in alphas), encoded)
        return
    allowed = allowed_error(pair.instruct_model.dtype)
    check_layer_by_layer(in_float32(interpolate(pair, alphas[0])), encoded, tree_log_probs, allowed)
    budget = memory_budget(pair.instruct_model)
    groups = prompt_groups(encoded, pair.instruct_model, budget, len(alphas))
    found = [_log_probs(pair, alphas, encoded.subset(group), budget) for group in groups]
    yield from scores_from_log_probs(np.concatenate(found, axis=1), encoded)


@torch.inference_mode()
def _log_probs(
    pair: ModelPair, alphas: Sequence[float], encoded: EncodedPrompts, memory_budget_bytes: int
) -> NDArray[np.float64]:
    """Compute the log-probabilities (A, P, C) of all soups in one walk."""
    inputs = LayerInputs.from_tree(pair.instruct_model, TokenTree.build(encoded.token_ids))
    states = [inputs.for_other_weights(interpolate(pair, alpha)).embedded_1ND.clone() for alpha in alphas]
    forward = TreeForward(pair.instruct_model, encoded, inputs, memory_budget_bytes)
    *before, last = zip(forward.layers, tree_layers(pair.base_model), strict=True)
    for index, both in enumerate(before):
        for mixed, state_1ND in zip(_mixed_layers(*both, alphas), states, strict=True):
            forward.advance(mixed, index, [state_1ND])
    found: list[NDArray[np.float64]] = []
    for mixed, alpha, state_1ND in zip(_mixed_layers(*last, alphas), alphas, states, strict=True):
        # Each soup has a head of its own, which is made only now, because all heads together can fill the memory.
        of_soup = TreeForward(interpolate(pair, alpha), encoded, inputs, memory_budget_bytes)
        found.append(of_soup.finish(mixed, state_1ND))
    return np.concatenate(found)


def _mixed_layers(instruct: nn.Module, base: nn.Module, alphas: Sequence[float]) -> Iterator[nn.Module]:
    """Read a layer of both models once, and mix it at each alpha."""
    with weights_in_memory(instruct) as instruct_layer, weights_in_memory(base) as base_layer:
        for alpha in alphas:
            yield restored_layer(instruct_layer, base_layer, Stack(alpha)) if alpha > 0 else instruct_layer
