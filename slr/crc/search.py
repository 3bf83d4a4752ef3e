"""Search all layer intervals for their CRC scores, exactly, and share the work that hybrids have in common.

A hybrid restores the layers ``start..end-1``. Its hidden state on entering layer k depends only on where its interval
starts and ends below k. Many hybrids agree in this, so the search advances states rather than hybrids:

* the *prefix*, which has passed instruct layers only and is the beginning of every hybrid;
* for each start an *open* state, which has passed base layers from ``start`` to now;
* the *closed* states, which have passed base layers from ``start`` to some end, and instruct layers since.

At layer k, the instruct layer turns a copy of each open state into a new closed state, and advances the closed states.
The base layer advances the open states. For a model of n layers this takes ``count_layer_evaluations(n)``, about
n^3/6 layer evaluations. One hybrid after the other would take about n^3/2.

Layers can also be restored in part: at an alpha below 1, or only some components. Each way is a *stack* of layers that
stands in place of the base layers. One pass searches any number of stacks. They share the prefix, each has open states
of its own, and the closed states of all pass the instruct layers together. A layer of a stack is made when it is needed
and freed after that, so the memory grows by one layer.

On a CPU the starts are walked one by one. So with one stack at most n + 1 states are held at once, and a search that
was stopped goes on at the next start. If layers are on disk (``slr.models.streaming``), or on a GPU, several starts are
walked together, so that a layer is read once for all of them. The memory budget limits how many.
``slr.crc.tree_forward`` says how a state passes a layer, and what is saved there.

Before a search starts, its results are compared with a hybrid's plain forward on a short case.

Shape letters: A stacks, R states (hybrids), S starts, N tokens of the tree, D hidden size, P prompts, C characters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from slr.crc.layer_check import allowed_error, check_layer_by_layer, pair_in_float32
from slr.crc.layer_evaluations import count_layer_evaluations, group_starts
from slr.crc.layer_inputs import LayerInputs, tree_layers
from slr.crc.prompts import CrcPrompt, load_prompts
from slr.crc.scorer import ENTROPY, Scorer
from slr.crc.scoring import (
    EncodedPrompts,
    PromptScores,
    encode_prompts,
    scores_from_log_probs,
)
from slr.crc.selection import (
    MIN_VALIDITY_RATIO,
    Candidate,
    Selection,
    make_candidates,
    not_finite_choices,
    select,
)
from slr.crc.token_tree import TokenTree
from slr.crc.tree_forward import (
    DEFAULT_MEMORY_BUDGET,
    TreeForward,
    memory_budget,
    prompt_groups,
    tree_log_probs,
)
from slr.hybrid import restore, restored_layer
from slr.intervals import WHOLE, LayerInterval, Restoration, Stack
from slr.models.loading import ModelPair
from slr.models.streaming import is_streamed, weights_in_memory
from slr.terminal.progress import OnProgress
from slr.vocabulary import COMPONENTS, Component


@dataclass(frozen=True)
class ScoredInterval:
    """CRC scores of one hybrid.

    Attributes:
        interval: the restored layers.
        scores: scores of the hybrid, a number for each prompt.
        stack: how much of each layer is restored.
    """

    interval: LayerInterval
    scores: PromptScores
    stack: Stack = WHOLE

    @property
    def alpha(self) -> float:
        """Share of the base model in what is restored, in (0, 1]."""
        return self.stack.alpha

    @property
    def components(self) -> tuple[Component, ...]:
        """The parts of a layer that are restored."""
        return self.stack.components


@dataclass(frozen=True)
class SearchCounts:
    """Amount of work of a search.

    Attributes:
        layer_evaluations: number of layer evaluations; each takes one state through one layer.
        tokens_computed: number of tokens, summed over the layer evaluations.
        seconds: time of the search in seconds, with its check against a plain forward, but without the instruct
            model's scores.
    """

    layer_evaluations: int
    tokens_computed: int
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        instruct: CRC scores of the instruct model.
        intervals: CRC scores of every interval, by start, then by stack, then by end.
        counts: amount of work.
    """

    instruct: PromptScores
    intervals: tuple[ScoredInterval, ...]
    counts: SearchCounts

    @property
    def candidates(self) -> list[Candidate[Restoration]]:
        """The hybrids that can be chosen, with means over the prompts.

        A hybrid whose logits are NaN or infinite on a prompt is left out.
        """
        return make_candidates(self._scored(), self.instruct)

    def select(
        self, min_validity_ratio: float = MIN_VALIDITY_RATIO, margin: bool = False
    ) -> Selection[Restoration]:
        """Choose the hybrid of highest diversity among those valid enough; see ``slr.select``.

        Args:
            min_validity_ratio: smallest share of the instruct model's validity that a choice must keep, in (0, 1].
            margin: whether the lower end of the share's 95% interval must reach it, and not only the share itself.

        Returns:
            The selection; its ``interval``, ``alpha`` and ``components`` are what to restore.

        Raises:
            ValueError: if the ratio is not in (0, 1], or the instruct model's logits are NaN or infinite on a prompt.
        """
        return select(
            self.candidates,
            self.instruct.mean_validity,
            min_validity_ratio,
            margin,
            not_finite=not_finite_choices(self._scored()),
        )

    def _scored(self) -> list[tuple[Restoration, PromptScores]]:
        return [(Restoration(scored.interval, scored.stack), scored.scores) for scored in self.intervals]


def count_tokens_computed(
    pair: ModelPair, encoded: EncodedPrompts, memory_budget_bytes: int, num_stacks: int = 1
) -> tuple[int, int]:
    """Count the layer evaluations of a search over all starts, and the tokens that they compute.

    Args:
        pair: the two models.
        encoded: the P prompts.
        memory_budget_bytes: bytes for hidden states and intermediates. A small budget splits the prompts into groups.
        num_stacks: number of stacks of restored layers that are searched in one pass.

    Returns:
        The number of layer evaluations, and the number of tokens summed over them.

    Raises:
        ValueError: if the budget does not hold the states of a single prompt.
    """
    groups = _prompt_groups(encoded, pair, memory_budget_bytes, num_stacks)
    evaluations = count_layer_evaluations(pair.num_layers, num_stacks=num_stacks)
    tree_tokens = sum(len(TokenTree.build(encoded.subset(group).token_ids)) for group in groups)
    return evaluations * len(groups), evaluations * tree_tokens


def search(
    pair: ModelPair,
    prompts: Sequence[CrcPrompt] | None = None,
    *,
    alphas: Sequence[float] = (1.0,),
    components: Sequence[Component] = COMPONENTS,
    scorer: Scorer = ENTROPY,
    memory_budget_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> SearchResult:
    """Score every non-empty interval of the pair at every alpha, in one pass; see ``iter_search``.

    Args:
        pair: the two models, on one device; they are not altered.
        prompts: the CRC prompts; None for the selection set.
        alphas: shares of the base model in what is restored, each in (0, 1].
        components: the parts of a layer that are restored.
        scorer: what makes validity and diversity of the probabilities of valid characters.
        memory_budget_bytes: bytes for hidden states and intermediates, besides the two models; None for the result of
            ``memory_budget``.
        on_progress: called after every layer call with the number of layer evaluations done, and their total.

    Raises:
        UnusablePairError: if a hybrid cannot be computed layer by layer, or its scores differ from a plain forward's.
        ValueError: if an alpha is not in (0, 1] or given twice, a layer has a tensor of no component, there are no
            prompts, one of their characters is no single token, the model's attention cannot be used, or the budget
            does not hold the states of a single prompt.
    """
    chosen = load_prompts("selection") if prompts is None else prompts
    encoded = encode_prompts(chosen, pair.tokenizer, scorer=scorer)
    budget = memory_budget_bytes or memory_budget(pair.instruct_model)
    stacks = [Stack(alpha, tuple(components)) for alpha in alphas]
    began = time.perf_counter()
    found = iter_search(pair, encoded, stacks=stacks, memory_budget_bytes=budget, on_progress=on_progress)
    intervals = tuple(scored for _, batch in found for scored in batch)
    seconds = time.perf_counter() - began
    evaluations, tokens = count_tokens_computed(pair, encoded, budget, len(stacks))
    counts = SearchCounts(evaluations, tokens, seconds)
    instruct_1PC = tree_log_probs(pair.instruct_model, encoded)[None]
    [instruct] = scores_from_log_probs(instruct_1PC, encoded)
    return SearchResult(instruct, intervals, counts)


def iter_search(
    pair: ModelPair,
    encoded: EncodedPrompts,
    *,
    stacks: Sequence[Stack] = (WHOLE,),
    starts: Sequence[int] | None = None,
    memory_budget_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[int, list[ScoredInterval]]]:
    """Score every interval, one start layer after the other.

    Args:
        pair: the two models, on one device; they are not altered.
        encoded: the P prompts, encoded by the pair's tokenizer.
        stacks: ways to restore a layer, which are searched in one pass.
        starts: the start layers to score; None for all. A resumed search names the missing ones.
        memory_budget_bytes: bytes for hidden states and intermediates, besides the two models; None for the result of
            ``memory_budget``.
        on_progress: called after every layer call with the number of layer evaluations done, and their total.

    Yields:
        The start layer, and the scored intervals that begin there, by stack and then by end.

    Raises:
        UnusablePairError: if a hybrid cannot be computed layer by layer, or its scores differ from a plain forward's.
        ValueError: if a start is no layer of the model, there is no stack or the same one twice, the model's attention
            cannot be used, or the budget does not hold the states of a single prompt.
    """
    todo = sorted(set(range(pair.num_layers) if starts is None else starts))
    if todo and not 0 <= todo[0] <= todo[-1] < pair.num_layers:
        raise ValueError(f"start layers {todo} given for a model of {pair.num_layers} layers, counted from 0")
    if not stacks or len(set(stacks)) < len(stacks):
        raise ValueError(
            f"the alphas are {', '.join(f'{stack.alpha:g}' for stack in stacks) or 'none'}, expected one or more, each "
            "once"
        )
    _check_against_plain_forward(pair, encoded, stacks[0])
    budget = memory_budget_bytes or memory_budget(pair.instruct_model)
    for start, log_probs_RPC in _iter_log_probs(pair, encoded, stacks, todo, budget, on_progress):
        scores = scores_from_log_probs(log_probs_RPC, encoded)
        hybrids = product(stacks, range(start + 1, pair.num_layers + 1))
        yield (
            start,
            [
                ScoredInterval(LayerInterval(start, end), score, stack)
                for (stack, end), score in zip(hybrids, scores, strict=True)
            ],
        )


def _iter_log_probs(
    pair: ModelPair,
    encoded: EncodedPrompts,
    stacks: Sequence[Stack],
    starts: Sequence[int],
    memory_budget_bytes: int,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield each start with the log-probabilities (R, P, C) of its intervals, by stack and then by end."""
    groups = _prompt_groups(encoded, pair, memory_budget_bytes, len(stacks))
    evaluations = count_layer_evaluations(pair.num_layers, starts, len(stacks))
    progress = _Progress(evaluations * len(groups), on_progress)
    walks = [
        _Walk(pair, stacks, encoded.subset(group), memory_budget_bytes, progress.advance) for group in groups
    ]
    for starts_of_pass in _passes(
        pair, starts, min(walk.num_affordable_states for walk in walks) // len(stacks)
    ):
        found = [walk.pass_from(starts_of_pass) for walk in walks]
        for start in starts_of_pass:
            yield start, np.concatenate([of_group[start] for of_group in found], axis=1)


def _passes(pair: ModelPair, starts: Sequence[int], num_affordable_states: int) -> list[list[int]]:
    """Split rising starts into runs that are walked together, given the number of states for each stack.

    On a CPU each start is a run, because this keeps the cache warm, and a stopped search goes on at the next run. If
    layers are read from disk, or a GPU would compute only a few states at a time, a run has as many starts as fit.
    """
    if pair.instruct_model.device.type == "cpu" and not is_streamed(pair.instruct_model):
        return [[start] for start in starts]
    return group_starts(pair.num_layers, starts, num_affordable_states)


class _Progress:
    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._done = 0
        self._total = total
        self._on_progress = on_progress

    def advance(self, layer_evaluations: int) -> None:
        self._done += layer_evaluations
        if self._on_progress:
            self._on_progress(self._done, self._total)


class _Walk:
    """The walk over the layers for one group of prompts.

    Passes must ask for starts in rising order, because the walk keeps the prefix from one pass to the next.
    """

    def __init__(
        self,
        pair: ModelPair,
        stacks: Sequence[Stack],
        encoded: EncodedPrompts,
        memory_budget_bytes: int,
        advance_progress: Callable[[int], None],
    ) -> None:
        model = pair.instruct_model
        inputs = LayerInputs.from_tree(model, TokenTree.build(encoded.token_ids))
        self._num_layers = pair.num_layers
        self._forward = TreeForward(model, encoded, inputs, memory_budget_bytes, advance_progress)
        self._instruct_layers = self._forward.layers
        self._base_layers = tree_layers(restore(pair, LayerInterval(0, pair.num_layers)))
        self._stacks = stacks
        self._prefix_1ND = inputs.embedded_1ND.clone()
        self._prefix_layer = 0
        # Half of the budget is for intermediates, and one state is the prefix.
        self.num_affordable_states = memory_budget_bytes // 2 // self._prefix_1ND.nbytes - 1

    @torch.inference_mode()
    def pass_from(self, starts: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """Compute the log-probabilities (R, P, C) of the intervals that begin at each of the starts.

        Args:
            starts: start layers in rising order, all after the starts of the pass before.

        Returns:
            For each start its intervals, by stack and then by end.
        """
        last = self._num_layers - 1
        shape = self._prefix_1ND.shape[1:]
        # An interval from ``start`` may end before any of the layers start + 1 to last, which makes last - start closed
        # states. The interval that ends after the last layer never closes, so it needs no row.
        num_closed = len(self._stacks) * sum(last - start for start in starts)
        closed_RND = self._prefix_1ND.new_empty(num_closed, *shape)
        open_ASND = self._prefix_1ND.new_empty(len(self._stacks), len(starts), *shape)
        closed: list[tuple[int, int, int]] = []
        num_open = 0
        # All starts left to do lie at or after the prefix's layer. So the walk begins there with the prefix alone, and
        # no pass computes the layers before it again.
        for layer in range(self._prefix_layer, last + 1):
            # Every open interval may end here. A copy of its state goes on as closed, and the state itself stays open.
            for stack, open_SND in enumerate(open_ASND[:, :num_open]):
                closed_RND[len(closed) : len(closed) + num_open] = open_SND
                closed += [(start, stack, layer) for start in starts[:num_open]]
            if num_open < len(starts) and starts[num_open] == layer:
                open_ASND[:, num_open] = self._prefix_1ND[0]
                num_open += 1
            # The last layer is left to ``finish``, which computes it for the last tokens of the prompts only.
            if layer == last:
                break
            through_instruct = [closed_RND[: len(closed)]]
            # The prefix stops at this pass's last start: the next pass begins its starts after that layer, and goes on
            # from the same state.
            if layer < starts[-1]:
                through_instruct.append(self._prefix_1ND)
                self._prefix_layer = layer + 1
            with self._layers_at(layer) as (instruct, base):
                self._forward.advance(instruct, layer, through_instruct)
                for stack, open_SND in zip(self._stacks, open_ASND[:, :num_open], strict=True):
                    if num_open:
                        self._forward.advance(restored_layer(instruct, base, stack), layer, [open_SND])
            del instruct, base  # or they would be in memory until the next layers are there
        with self._layers_at(last) as (instruct, base):
            ended = self._forward.finish(instruct, closed_RND)
            at_end = [
                self._forward.finish(restored_layer(instruct, base, stack), open_SND)
                for stack, open_SND in zip(self._stacks, open_ASND, strict=True)
            ]
        rows = dict(zip(closed, ended, strict=True))
        for stack, of_stack in enumerate(at_end):
            rows |= {(start, stack, last + 1): row for start, row in zip(starts, of_stack, strict=True)}
        return {
            start: np.stack(
                [
                    rows[start, stack, end]
                    for stack, end in product(range(len(self._stacks)), range(start + 1, last + 2))
                ]
            )
            for start in starts
        }

    @contextmanager
    def _layers_at(self, layer: int) -> Generator[tuple[nn.Module, nn.Module]]:
        """Hold both models' layer, so that all stacks are made from one reading."""
        with (
            weights_in_memory(self._instruct_layers[layer]) as instruct,
            weights_in_memory(self._base_layers[layer]) as base,
        ):
            yield instruct, base


def _prompt_groups(
    encoded: EncodedPrompts, pair: ModelPair, memory_budget_bytes: int, num_stacks: int
) -> list[list[int]]:
    # One start has a state for every end and stack, and the prefix is one more.
    return prompt_groups(encoded, pair.instruct_model, memory_budget_bytes, num_stacks * pair.num_layers + 1)


def _check_against_plain_forward(pair: ModelPair, encoded: EncodedPrompts, stack: Stack) -> None:
    """Compare the search with a plain forward, for one hybrid."""
    # The interval is one layer in the middle, so the hybrid's state has been prefix, open and closed.
    start = pair.num_layers // 2
    end = start + 1
    exact = pair_in_float32(pair)

    def searched(_hybrid: PreTrainedModel, short: EncodedPrompts) -> NDArray[np.float64]:
        [(_, log_probs_RPC)] = _iter_log_probs(exact, short, [stack], [start], DEFAULT_MEMORY_BUDGET)
        return log_probs_RPC[end - start - 1]

    hybrid = restore(exact, LayerInterval(start, end), stack.alpha, stack.components)
    check_layer_by_layer(hybrid, encoded, searched, allowed_error(pair.instruct_model.dtype))
