"""Score hybrids that restore any set of layers, exactly, and choose a set greedily.

A hybrid's hidden state on entering layer k depends only on which of the layers below k are restored. So sets that agree
below k share one state there. The states form a tree with a branch for each choice (restored or not), and the walk goes
through it layer by layer. It takes ``count_set_evaluations`` layer evaluations, where one hybrid after the other takes
one for each set and layer.

Sets are walked in the order of their choices, so that neighbours agree as long as possible. If the memory budget holds
fewer states than there are sets, they are walked in batches.

Shape letters: R states, N tokens of the tree, D hidden size, P prompts, C characters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slr.crc.layer_check import allowed_error, check_layer_by_layer, pair_in_float32
from slr.crc.layer_inputs import LayerInputs, tree_layers
from slr.crc.scoring import EncodedPrompts, PromptScores, scores_from_log_probs
from slr.crc.selection import PAPER_RULE, SelectionRule, best_layer_set
from slr.crc.token_tree import TokenTree
from slr.crc.tree_forward import DEFAULT_MEMORY_BUDGET, TreeForward, memory_budget, prompt_groups
from slr.hybrid import restore_layers
from slr.intervals import LayerSet
from slr.models.loading import ModelPair
from slr.terminal.progress import OnProgress


@dataclass(frozen=True)
class GreedyStep:
    """One step of a greedy choice.

    Attributes:
        chosen: the set that the step ends with.
        scored: every set that was tried, with its scores.
    """

    chosen: LayerSet
    scored: tuple[tuple[LayerSet, PromptScores], ...]


def count_set_evaluations(num_layers: int, sets: Iterable[Collection[int]]) -> int:
    """Count how often a hidden state passes a layer when sets of layers are scored in one batch.

    Args:
        num_layers: number of decoder layers of the models.
        sets: numbers of the restored layers of each hybrid.
    """
    choices = [_choices(layers, num_layers) for layers in sets]
    return sum(len({of_set[: layer + 1] for of_set in choices}) for layer in range(num_layers))


def score_layer_sets(
    pair: ModelPair,
    encoded: EncodedPrompts,
    sets: Sequence[Collection[int]],
    *,
    memory_budget_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[PromptScores]:
    """Compute the CRC scores of hybrids that restore sets of layers.

    Args:
        pair: the two models, on one device; they are not altered.
        encoded: the P prompts, encoded by the pair's tokenizer.
        sets: numbers of the restored layers of each hybrid. The empty set is the instruct model.
        memory_budget_bytes: bytes for hidden states and intermediates, besides the two models; None for the result of
            ``memory_budget``.
        on_progress: called after every layer call with the number of layer evaluations done, and their total.

    Returns:
        The scores of each hybrid, in order.

    Raises:
        UnusablePairError: if a hybrid cannot be computed layer by layer, or its scores differ from a plain forward's.
        ValueError: if there is no set, a set names no layer of the model, or the budget does not hold the states of a
            single prompt.
    """
    wanted = [frozenset(layers) for layers in sets]
    numbers = sorted(frozenset[int]().union(*wanted))
    if not wanted or (numbers and not 0 <= numbers[0] <= numbers[-1] < pair.num_layers):
        raise ValueError(
            f"{len(wanted)} sets with the layers {numbers} given for a model of {pair.num_layers} layers, counted from "
            "0: expected at least one set, and only layers of the model"
        )
    _check_against_plain_forward(pair, encoded, wanted[len(wanted) // 2])
    in_order = sorted(set(wanted), key=lambda layers: _choices(layers, pair.num_layers))
    budget = memory_budget_bytes or memory_budget(pair.instruct_model)
    found = _log_probs(pair, encoded, in_order, budget, on_progress)
    scores = scores_from_log_probs(found, encoded)
    by_set = dict(zip(in_order, scores, strict=True))
    return [by_set[layers] for layers in wanted]


def greedy_layer_sets(
    pair: ModelPair,
    encoded: EncodedPrompts,
    size: int,
    rule: SelectionRule = PAPER_RULE,
    *,
    memory_budget_bytes: int | None = None,
) -> Iterator[GreedyStep]:
    """Choose a set of layers greedily, one layer a step.

    A step scores the set so far with each further layer. It keeps the most diverse set that the rule
    admits. If it admits none, the step keeps the set of highest validity.

    Args:
        pair: the two models, on one device; they are not altered.
        encoded: the P prompts, encoded by the pair's tokenizer.
        size: number of layers of the last set.
        rule: which sets are valid enough.
        memory_budget_bytes: bytes for hidden states and intermediates, besides the two models; None for the result of
            ``memory_budget``.

    Yields:
        The steps, with sets of 1 to ``size`` layers.

    Raises:
        UnusablePairError: if a hybrid cannot be computed layer by layer, or its scores differ from a plain forward's.
        ValueError: if the model has fewer layers than ``size``, or logits are NaN or infinite for all sets of a step.
    """
    if not 1 <= size <= pair.num_layers:
        raise ValueError(f"size is {size}, expected 1 to {pair.num_layers}, the number of layers")
    [instruct] = score_layer_sets(pair, encoded, [()], memory_budget_bytes=memory_budget_bytes)
    chosen: LayerSet = frozenset()
    for _ in range(size):
        sets = [chosen | {layer} for layer in range(pair.num_layers) if layer not in chosen]
        scores = score_layer_sets(pair, encoded, sets, memory_budget_bytes=memory_budget_bytes)
        scored = tuple(zip(sets, scores, strict=True))
        chosen = best_layer_set(dict(scored), instruct, rule)
        yield GreedyStep(chosen, scored)


def _choices(layers: Collection[int], num_layers: int) -> tuple[bool, ...]:
    """For each layer of the model, whether it is restored."""
    return tuple(layer in layers for layer in range(num_layers))


def _log_probs(
    pair: ModelPair,
    encoded: EncodedPrompts,
    sets: Sequence[LayerSet],
    memory_budget_bytes: int,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float64]:
    """Compute the log-probabilities (R, P, C) of the hybrids of sets that are in the order of their choices."""
    # As many states as a search needs for one start, so that the prompts are split no more than there.
    groups = prompt_groups(encoded, pair.instruct_model, memory_budget_bytes, pair.num_layers + 1)
    walks = [_Walk(pair, encoded.subset(group), memory_budget_bytes) for group in groups]
    size = min(walk.num_affordable_sets for walk in walks)
    batches = [sets[begin : begin + size] for begin in range(0, len(sets), size)]
    total = len(groups) * sum(count_set_evaluations(pair.num_layers, batch) for batch in batches)
    done = 0

    def advance(layer_evaluations: int) -> None:
        nonlocal done
        done += layer_evaluations
        if on_progress is not None:
            on_progress(done, total)

    return np.concatenate(
        [np.concatenate([walk.log_probs(batch, advance) for walk in walks], axis=1) for batch in batches]
    )


class _Walk:
    """The walk over the layers for one group of prompts."""

    def __init__(self, pair: ModelPair, encoded: EncodedPrompts, memory_budget_bytes: int) -> None:
        self._pair = pair
        self._encoded = encoded
        self._budget = memory_budget_bytes
        self._inputs = LayerInputs.from_tree(pair.instruct_model, TokenTree.build(encoded.token_ids))
        # Half of the budget is for intermediates. On entering a layer, the states before and after it are both held.
        self.num_affordable_sets = max(1, memory_budget_bytes // 4 // self._inputs.embedded_1ND.nbytes)

    @torch.inference_mode()
    def log_probs(
        self, sets: Sequence[LayerSet], on_layer_evaluations: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """Compute the log-probabilities (R, P, C) of the hybrids, in order."""
        model = self._pair.instruct_model
        forward = TreeForward(model, self._encoded, self._inputs, self._budget, on_layer_evaluations)
        base_layers = tree_layers(restore_layers(self._pair, range(self._pair.num_layers)))
        states_RND = self._inputs.embedded_1ND.clone()
        sharing = [list(sets)]  # for each state, the sets that share it
        *before, last = range(self._pair.num_layers)
        for layer in before:
            kept, restored = _branches(sharing, layer)
            states_RND = states_RND[[row for row, _ in (*kept, *restored)]]
            forward.advance(forward.layers[layer], layer, [states_RND[: len(kept)]])
            forward.advance(base_layers[layer], layer, [states_RND[len(kept) :]])
            sharing = [of_state for _, of_state in (*kept, *restored)]
        found = {}
        both = (forward.layers[last], base_layers[last])
        for final, branch in zip(both, _branches(sharing, last), strict=True):
            rows = forward.finish(final, states_RND[[row for row, _ in branch]])
            # Sets that agree in all layers are one set, so each state now belongs to one.
            found |= {of_state[0]: row for (_, of_state), row in zip(branch, rows, strict=True)}
        return np.stack([found[layers] for layers in sets])


def _branches(
    sharing: Sequence[Sequence[LayerSet]], layer: int
) -> tuple[list[tuple[int, list[LayerSet]]], list[tuple[int, list[LayerSet]]]]:
    """Divide the sets of each state by whether they keep or restore a layer.

    Returns:
        For either choice the states that make it: the number of the state, and the sets that go on from it.
    """
    kept, restored = (
        [
            (row, of_choice)
            for row, of_state in enumerate(sharing)
            if (of_choice := [layers for layers in of_state if (layer in layers) == choice])
        ]
        for choice in (False, True)
    )
    return kept, restored


def _check_against_plain_forward(pair: ModelPair, encoded: EncodedPrompts, layers: LayerSet) -> None:
    """Compare the walk with a plain forward, for one set."""
    exact = pair_in_float32(pair)

    def walked(_hybrid: PreTrainedModel, short: EncodedPrompts) -> NDArray[np.float64]:
        return _log_probs(exact, short, [layers], DEFAULT_MEMORY_BUDGET)[0]

    allowed = allowed_error(pair.instruct_model.dtype)
    check_layer_by_layer(restore_layers(exact, layers), encoded, walked, allowed)
