"""CRC scores of every layer interval, exactly, with all work shared that hybrids have in common.

The hybrid that restores layers ``start..end-1`` has, on entering layer k, a hidden state that depends
only on where its interval starts and ends below k. So the states are advanced rather than the hybrids:

* the *prefix*: instruct layers only, the beginning of every hybrid;
* for each start, an *open* state: restored from ``start`` up to now;
* the *closed* states: restored from ``start`` up to some end, instruct since.

Layer k of the instruct model turns a copy of each open state into a new closed one and advances the
closed ones; layer k of the base model advances the open ones. For L layers that makes
``count_layer_evaluations(L)``, about L^3/6 layer evaluations, where one hybrid after the other takes
about L^3/2. On a CPU starts are taken one by one, so at most L + 1 states are held at once, and a search that is
stopped goes on at the next start. Where layers are on disk (``slr.streamed_layers``), or on a GPU, as many starts
are walked together as the memory budget holds states for, so that a layer is read once for all of them. Two more
exact savings: prompts are packed into a token tree, so a
beginning that prompts share is computed once; and at the last layer only the prompts' last tokens go on
once the keys and values of all tokens are known.

Masks, position embeddings, final norm, LM head and soft-capping all come from the model's own forward.
Before a search its own way of computing is checked on a short case against a hybrid's plain forward.

Shape letters: R states (hybrids), N tokens of the tree, D hidden size, P prompts, C characters, V vocabulary.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slr.checkpoints import ModelPair
from slr.crc.layer_evaluations import count_layer_evaluations
from slr.crc.layer_inputs import LayerInputs, tree_layers
from slr.crc.prompts import CrcPrompt
from slr.crc.scoring import (
    MAX_LOGIT_BYTES,
    EncodedPrompts,
    PromptScores,
    answer_log_probs,
    character_log_probs,
    encode_prompts,
    score_model,
    scores_from_log_probs,
)
from slr.crc.token_tree import KeysAndValues, TokenTree
from slr.hybrid import restore, with_layers
from slr.intervals import LayerInterval
from slr.progress import OnProgress
from slr.streamed_layers import is_streamed, weights_in_memory

logger = logging.getLogger(__name__)

DEFAULT_MEMORY_BUDGET = 2 * 2**30
"""On a CPU: bytes for hidden states and for one layer call; more prompts than fit are taken in several groups."""

CHUNK_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens to a layer call: few enough to stay in a CPU's cache, enough to fill a GPU."""

LAYER_CALL_FACTOR = 24
"""A layer call's working memory, in hidden states: attention and MLP intermediates, generously."""

MAX_LOG_PROB_ERROR = 1e-3
"""Allowed in float32 in the check against the plain forward."""

MAX_LOG_PROB_ERROR_16_BIT = 0.5
"""In 16-bit arithmetic another order of sums alone moves a log-probability by a tenth or two."""


@dataclass(frozen=True)
class ScoredInterval:
    """CRC scores of the hybrid that restores ``interval``."""

    interval: LayerInterval
    scores: PromptScores


@dataclass(frozen=True)
class SearchCounts:
    """What a search computed: layer evaluations are of one state each, tokens are summed over them."""

    layer_evaluations: int
    tokens_computed: int
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """CRC scores of the instruct model and of every interval, by start and then by end."""

    instruct: PromptScores
    intervals: tuple[ScoredInterval, ...]
    counts: SearchCounts


def count_tokens_computed(
    pair: ModelPair, encoded: EncodedPrompts, memory_budget_bytes: int | None = None
) -> tuple[int, int]:
    """Layer evaluations of a search over all starts, and the tokens that they compute in all."""
    budget = memory_budget_bytes or memory_budget(pair.instruct_model.device)
    groups = _prompt_groups(encoded, pair, budget)
    evaluations = count_layer_evaluations(pair.num_layers)
    tree_tokens = sum(len(TokenTree.build(encoded.subset(group).token_ids)) for group in groups)
    return evaluations * len(groups), evaluations * tree_tokens


def search(
    pair: ModelPair,
    prompts: Sequence[CrcPrompt],
    *,
    alpha: float = 1.0,
    memory_budget_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> SearchResult:
    """Score every non-empty interval of the pair on the prompts; see ``iter_search``."""
    encoded = encode_prompts(prompts, pair.tokenizer)
    began = time.perf_counter()
    found = iter_search(
        pair, encoded, alpha=alpha, memory_budget_bytes=memory_budget_bytes, on_progress=on_progress
    )
    intervals = tuple(scored for _, batch in found for scored in batch)
    seconds = time.perf_counter() - began
    evaluations, tokens = count_tokens_computed(pair, encoded, memory_budget_bytes)
    counts = SearchCounts(evaluations, tokens, seconds)
    return SearchResult(score_model(pair.instruct_model, encoded), intervals, counts)


def iter_search(
    pair: ModelPair,
    encoded: EncodedPrompts,
    *,
    alpha: float = 1.0,
    starts: Sequence[int] | None = None,
    memory_budget_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[int, list[ScoredInterval]]]:
    """Score every interval, a start layer at a time.

    Args:
        pair: the two models, on one device; they are not altered.
        encoded: the prompts, for the pair's tokenizer.
        alpha: the base model's share within the interval, in (0, 1].
        starts: the start layers to do, by default all; a resumed search names those still missing.
        memory_budget_bytes: for hidden states and intermediates, beside the two models; None: see
            ``memory_budget``.
        on_progress: called after every layer call with the layer evaluations done, and their total.

    Yields:
        The start layer, and the scored intervals that begin there, by end.

    Raises:
        ValueError: if a start is no layer of the model, or the model's attention cannot be used.
        RuntimeError: if the check against a plain forward fails: the architecture is not supported.
    """
    todo = sorted(set(range(pair.num_layers) if starts is None else starts))
    if todo and not 0 <= todo[0] <= todo[-1] < pair.num_layers:
        raise ValueError(f"start layers {todo} given for a model of {pair.num_layers} layers, counted from 0")
    _check_against_plain_forward(pair, encoded, alpha)
    budget = memory_budget_bytes or memory_budget(pair.instruct_model.device)
    for start, log_probs_RPC in _iter_log_probs(pair, encoded, alpha, todo, budget, on_progress):
        scores = scores_from_log_probs(log_probs_RPC, encoded.prompts, encoded.characters)
        yield (
            start,
            [
                ScoredInterval(LayerInterval(start, start + 1 + row), score)
                for row, score in enumerate(scores)
            ],
        )


def memory_budget(device: torch.device) -> int:
    """Bytes that a search takes by default: half of what is free on a GPU, ``DEFAULT_MEMORY_BUDGET`` on a CPU."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else DEFAULT_MEMORY_BUDGET


def _iter_log_probs(
    pair: ModelPair,
    encoded: EncodedPrompts,
    alpha: float,
    starts: Sequence[int],
    memory_budget_bytes: int,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield a start and the log-probabilities (R, P, C) of the intervals from it, by end."""
    groups = _prompt_groups(encoded, pair, memory_budget_bytes)
    progress = _Progress(count_layer_evaluations(pair.num_layers, starts) * len(groups), on_progress)
    walks = [
        _Walk(pair, encoded.subset(group), alpha, memory_budget_bytes, progress.advance) for group in groups
    ]
    for starts_of_pass in _passes(pair, starts, min(walk.num_affordable_states for walk in walks)):
        found = [walk.pass_from(starts_of_pass) for walk in walks]
        for start in starts_of_pass:
            yield start, np.concatenate([of_group[start] for of_group in found], axis=1)


def _passes(pair: ModelPair, starts: Sequence[int], num_affordable_states: int) -> list[list[int]]:
    """Rising starts in runs that are walked together.

    One start at a time keeps a CPU's cache warm and is a stop at which a search can go on. Layers that must be
    read from disk, or that a GPU would compute for a few states at a time, are walked for as many as fit.
    """
    if pair.instruct_model.device.type == "cpu" and not is_streamed(pair.instruct_model):
        return [[start] for start in starts]
    passes: list[list[int]] = []
    left = 0
    for start in starts:
        states = pair.num_layers - start
        if states > left:
            passes.append([])
            left = num_affordable_states
        passes[-1].append(start)
        left -= states
    return passes


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
    """The walk over the layers for one group of prompts; starts are to be asked for in rising order."""

    def __init__(
        self,
        pair: ModelPair,
        encoded: EncodedPrompts,
        alpha: float,
        memory_budget_bytes: int,
        advance_progress: Callable[[int], None],
    ) -> None:
        model = pair.instruct_model
        tree = TokenTree.build(encoded.token_ids)
        self._num_layers = pair.num_layers
        self._encoded = encoded
        self._advance_progress = advance_progress
        self._last_tokens = tree.last_tokens
        self._instruct_layers = tree_layers(model)
        self._base_layers = tree_layers(restore(pair, LayerInterval(0, pair.num_layers), alpha))
        self._inputs = LayerInputs.of_tree(model, tree)
        self._prefix_1ND = self._inputs.embedded_1ND.clone()
        self._prefix_layer = 0
        self._head = with_layers(model, [])
        self._states_per_call = _states_per_call(self._prefix_1ND, memory_budget_bytes)
        self.num_affordable_states = memory_budget_bytes // 2 // self._prefix_1ND.nbytes - 1

    @torch.inference_mode()
    def pass_from(self, starts: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """Log-probabilities (R, P, C) of the intervals that begin at each of the starts, by end."""
        last = self._num_layers - 1
        shape = self._prefix_1ND.shape[1:]
        closed_RND = self._prefix_1ND.new_empty(sum(last - start for start in starts), *shape)
        open_SND = self._prefix_1ND.new_empty(len(starts), *shape)
        closed: list[tuple[int, int]] = []
        num_open = 0
        for layer in range(self._prefix_layer, last + 1):
            # Every interval that is open may end here, and goes on as a closed one beside itself.
            closed_RND[len(closed) : len(closed) + num_open] = open_SND[:num_open]
            closed += [(start, layer) for start in starts[:num_open]]
            if num_open < len(starts) and starts[num_open] == layer:
                open_SND[num_open] = self._prefix_1ND[0]
                num_open += 1
            if layer == last:
                break
            through_instruct = [closed_RND[: len(closed)]]
            if layer < starts[-1]:
                through_instruct.append(self._prefix_1ND)
                self._prefix_layer = layer + 1
            self._advance(self._instruct_layers, layer, through_instruct)
            self._advance(self._base_layers, layer, [open_SND[:num_open]])
        ended = self._finish(self._instruct_layers, closed_RND)
        open_at_end = self._finish(self._base_layers, open_SND)
        rows = dict(zip(closed, ended, strict=True))
        rows |= {(start, last + 1): row for start, row in zip(starts, open_at_end, strict=True)}
        return {start: np.stack([rows[start, end] for end in range(start + 1, last + 2)]) for start in starts}

    def _advance(self, layers: Sequence[nn.Module], layer: int, groups: Sequence[torch.Tensor]) -> None:
        """Put groups of states (R, N, D) through one layer, in place; it is not read if there are none."""
        chunks = [
            chunk for states_RND in groups for chunk in states_RND.split(self._states_per_call) if len(chunk)
        ]
        if not chunks:
            return
        with weights_in_memory(layers[layer]) as compute:
            for chunk_RND in chunks:
                chunk_RND.copy_(compute(chunk_RND, **self._inputs.arguments[layer]))
                self._advance_progress(len(chunk_RND))

    def _finish(self, layers: Sequence[nn.Module], states_RND: torch.Tensor) -> NDArray[np.float64]:
        """Put states through the last layer and the head; log-probabilities (R, P, C)."""
        if not len(states_RND):
            return np.empty((0, len(self._encoded.prompts), len(self._encoded.characters)))
        with weights_in_memory(layers[-1]) as compute:
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
                states_RND[:, self._last_tokens],
                **self._inputs.last_token_arguments(stored),
            )
        else:
            raise RuntimeError(
                f"{type(layer).__name__} does not attend through transformers' attention interface"
            )
        self._advance_progress(len(states_RND))
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


def _prompt_groups(encoded: EncodedPrompts, pair: ModelPair, memory_budget_bytes: int) -> list[list[int]]:
    """Split the prompts into as few groups as let a group's states fit half the memory budget."""
    config = pair.instruct_model.config.get_text_config(decoder=True)
    token_bytes = config.hidden_size * torch.finfo(pair.instruct_model.dtype).bits // 8
    affordable = memory_budget_bytes // 2 // (token_bytes * (pair.num_layers + 1))
    num_prompts = len(encoded.prompts)
    largest = 0
    for num_groups in range(1, num_prompts + 1):
        bounds = np.linspace(0, num_prompts, num_groups + 1).astype(int)
        groups = [list(range(low, high)) for low, high in pairwise(bounds)]
        largest = max(len(TokenTree.build(encoded.subset(group).token_ids)) for group in groups)
        if largest <= affordable:
            return groups
    raise ValueError(
        f"a memory budget of {memory_budget_bytes / 2**20:.0f} MiB does not hold the states of a single "
        f"prompt ({largest} tokens, {pair.num_layers} layers); give at least "
        f"{2 * token_bytes * (pair.num_layers + 1) * largest / 2**20:.0f} MiB"
    )


def _check_against_plain_forward(pair: ModelPair, encoded: EncodedPrompts, alpha: float) -> None:
    """Compare the search with a plain forward, for one hybrid and the two shortest prompts.

    Raises:
        RuntimeError: if they differ by more than rounding.
    """
    by_length = sorted(range(len(encoded.prompts)), key=lambda index: len(encoded.token_ids[index]))
    short = encoded.subset(by_length[:2])
    start = pair.num_layers // 2
    end = start + 1
    walk = _Walk(pair, short, alpha, DEFAULT_MEMORY_BUDGET, lambda _: None)
    found_PC = walk.pass_from([start])[start][end - start - 1]
    expected_PC = answer_log_probs(restore(pair, LayerInterval(start, end), alpha), short)
    error = float(np.max(np.abs(found_PC - expected_PC)))
    is_float32 = pair.instruct_model.dtype == torch.float32
    allowed = MAX_LOG_PROB_ERROR if is_float32 else MAX_LOG_PROB_ERROR_16_BIT
    logger.info("search checked against a plain forward: log-probabilities differ by at most %.1e", error)
    if not error <= allowed:
        raise RuntimeError(
            f"the search does not reproduce {type(pair.instruct_model).__name__}: log-probabilities differ "
            f"from its plain forward by {error:.2g}, allowed {allowed:g} in {pair.instruct_model.dtype}; "
            "this architecture's layers cannot be evaluated one by one, please report it"
        )
