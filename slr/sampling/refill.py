"""Sampling in a batch whose finished rows are replaced by the next samples, so that a few long answers do not hold it.

Each prompt is computed once, and its keys and values are copied for each of its samples. A sample begins with the
prompt's last token, so its first step is like all others. Where memory runs out, the sample that started last goes
back to the queue. It starts anew later and gives the same tokens, because its random numbers do not change.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from slr.models.transformers_internals import is_dispatched
from slr.sampling.memory import MemoryPlan
from slr.sampling.ragged_cache import SCRATCH, Move, RaggedDecoder
from slr.sampling.slots import Slots

PROMPTS_TOGETHER = 32
"""Largest number of prompts that are computed together."""
PROMPT_TOKENS_TOGETHER = 8192
"""Largest number of tokens of these prompts, their padding included, unless one prompt alone is longer."""
FIRST_TOKENS = 192
"""Number of tokens that a new answer has room for."""
GROWTH = 1.5
"""Factor by which the room of an answer grows when it is full."""
RESERVED_SHARE = 0.05
"""Share of the slots that no new answer takes, so that running answers can grow."""
LARGEST_DIFFERENCE = {torch.float16: 0.1, torch.bfloat16: 0.1}
"""Largest relative difference of the first step's logits from a plain forward's, by dtype."""
OTHERWISE = 1e-3
"""The same for other dtypes."""

_log = logging.getLogger(__name__)

ChooseTokens = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Chooses a token for each row, given logits and one number in [0, 1) for each row."""


class UnusableCacheError(Exception):
    """The model computes something else with the ranges of a ``RaggedDecoder`` than without them."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sampled.

    Attributes:
        prompts: token ids of each prompt.
        num_samples: number of samples of each prompt.
        seeds: one seed for each prompt.
        limits: largest number of new tokens of each sample, the samples of one prompt next to each other.
        ends: ids of the tokens that end an answer.
    """

    prompts: Sequence[Sequence[int]]
    num_samples: int
    seeds: Sequence[int]
    limits: Sequence[int]
    ends: Sequence[int]

    @property
    def longest_prompt(self) -> int:
        """Largest number of tokens in a prompt."""
        return max(map(len, self.prompts))

    @property
    def longest(self) -> int:
        """Largest number of tokens in a sample together with its prompt."""
        return max(map(self.length, range(len(self.limits))))

    @property
    def least_slots(self) -> int:
        """Number of slots that hold the longest sample, a copy of it as it grows, and its prompt."""
        return SCRATCH + 2 * self.longest + self.longest_prompt

    def length(self, sample: int) -> int:
        """Largest number of tokens of a sample together with its prompt."""
        return len(self.prompts[sample // self.num_samples]) + self.limits[sample]

    def draws(self, prompt: int) -> NDArray[np.float64]:
        """Random numbers of a prompt's samples, one for each position."""
        longest = max(self.limits)
        generator = torch.Generator().manual_seed(self.seeds[prompt])
        return torch.rand(self.num_samples, longest, generator=generator, dtype=torch.float64).numpy()


@dataclass(frozen=True)
class Drawn:
    """One sample: its tokens, with the one that ended it, and whether it ended by itself."""

    tokens: list[int]
    finished: bool


def can_refill(model: PreTrainedModel) -> bool:
    """Return whether a model's kinds of layers are ones that can be sampled in this way."""
    text = model.config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ())
    is_spread = any(is_dispatched(module) for module in model.modules())
    return kinds <= {"full_attention", "sliding_attention"} and not is_spread


@torch.inference_mode()
def iter_drawn(
    model: PreTrainedModel,
    request: Request,
    choose: ChooseTokens,
    plan: MemoryPlan,
    on_step: Callable[[int], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, list[Drawn]]]:
    """Draw samples, and yield a prompt as soon as all of its samples are done.

    If memory runs out, the rows are halved, and the samples that were not done start anew.

    Args:
        model: the model, in evaluation mode.
        request: what is sampled.
        choose: chooses the tokens.
        plan: number of rows and size of their caches.
        on_step: called after each step with the number of samples that are still running.
        on_rows: called with the number of rows, and again if it is halved.

    Yields:
        The place of a prompt, and its samples in order.

    Raises:
        torch.OutOfMemoryError: if not even one row fits.
        UnusableCacheError: if the first step's logits are not the ones of a plain forward.
        ValueError: if the plan's slots do not hold one sample with its prompt.
    """
    if plan.slots < request.least_slots:
        raise ValueError(
            f"the longest answer needs {request.least_slots} tokens in the cache, and the GPU's memory holds "
            f"{plan.slots}: ask for fewer new tokens, or use a GPU with more memory"
        )
    ledger = _Ledger(request)
    while ledger.waiting:
        if on_rows is not None:
            on_rows(plan.rows)
        batch = RowBatch(model, request, ledger, choose, plan)
        try:
            while batch.refill():
                yield from batch.step()
                if on_step is not None:
                    on_step(batch.num_running)
            return
        except torch.OutOfMemoryError:
            if plan.rows == 1:
                raise
            plan = replace(plan, rows=plan.rows // 2, slots=max(plan.slots // 2, request.least_slots))
            _log.warning("the GPU's memory ran out, so sampling goes on with %d rows", plan.rows)
        # Outside the handler, because the error holds the frames whose tensors are to be freed.
        batch.give_up()
        del batch
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Ledger:
    """The samples that wait, and the tokens of all."""

    def __init__(self, request: Request) -> None:
        count = len(request.limits)
        self.waiting = deque(range(count))
        self.tokens = np.zeros((count, max(request.limits)), dtype=np.int32)
        self.num_tokens = np.zeros(count, dtype=np.int64)
        self.finished = np.zeros(count, dtype=bool)
        self._left = np.full(len(request.prompts), request.num_samples)
        self._num_samples = request.num_samples

    def note_done(self, samples: NDArray[np.int64]) -> Iterator[tuple[int, list[Drawn]]]:
        """Note that samples are done, and yield the prompts that have no others left."""
        for sample in samples.tolist():
            prompt = sample // self._num_samples
            self._left[prompt] -= 1
            if self._left[prompt] == 0:
                yield prompt, [self._drawn(prompt * self._num_samples + n) for n in range(self._num_samples)]

    def _drawn(self, sample: int) -> Drawn:
        return Drawn(self.tokens[sample, : self.num_tokens[sample]].tolist(), bool(self.finished[sample]))


class RowBatch:
    """The running samples, each in a seat with a range of slots, and the prompts that the next ones are copied from."""

    def __init__(
        self,
        model: PreTrainedModel,
        request: Request,
        ledger: _Ledger,
        choose: ChooseTokens,
        plan: MemoryPlan,
    ) -> None:
        """Begin with empty seats.

        Args:
            model: the model.
            request: what is sampled.
            ledger: the samples that wait.
            choose: chooses the tokens.
            plan: number of seats, and of slots.
        """
        self._model, self._request, self._ledger, self._choose = model, request, ledger, choose
        self._longest = request.longest
        # More slots than these are never used.
        most = SCRATCH + 2 * plan.rows * self._longest + PROMPTS_TOGETHER * request.longest_prompt
        self._plan = replace(plan, slots=min(plan.slots, most))
        self._slots = Slots(self._plan.slots - SCRATCH)
        self._decoder: RaggedDecoder | None = None
        self._expected: tuple[int, torch.Tensor] | None = None
        self._num_started = 0
        # Every array has one entry for each seat; -1 stands for no sample.
        rows = plan.rows
        self._sample = np.full(rows, -1)
        self._order = np.zeros(rows, dtype=np.int64)
        self._start, self._room, self._length = (np.zeros(rows, dtype=np.int64) for _ in range(3))
        self._step, self._last = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
        self._limit = np.zeros(rows, dtype=np.int64)
        self._draws = np.zeros((rows, max(request.limits)))
        self._prompts: dict[int, _HeldPrompt] = {}
        self._moves: list[Move] = []

    @property
    def num_running(self) -> int:
        """Number of samples that are running."""
        return int((self._sample >= 0).sum())

    def give_up(self) -> None:
        """Put the running samples back to the front of the queue."""
        for seat in self._youngest_first():
            self._put_back(seat)

    def refill(self) -> bool:
        """Make room for the next token of each row, and start samples in free seats.

        Returns:
            Whether anything is running.
        """
        for seat in np.flatnonzero((self._sample >= 0) & (self._length == self._room)).tolist():
            # An earlier seat may have needed this one's room.
            if self._sample[seat] >= 0:
                self._grow(seat)
        for seat in np.flatnonzero(self._sample < 0).tolist():
            if not (self._ledger.waiting and self._begin(seat)):
                break
        self._flush()
        assert self.num_running or not self._ledger.waiting
        return self.num_running > 0

    def step(self) -> Iterator[tuple[int, list[Drawn]]]:
        """Draw one token for each running sample, and yield the prompts whose samples are done."""
        assert self._decoder is not None
        seats = np.flatnonzero(self._sample >= 0)
        seats = seats[np.argsort(self._length[seats], kind="stable")]
        inputs = (
            torch.from_numpy(values[seats]) for values in (self._last, self._start + SCRATCH, self._length)
        )
        logits_BV = self._decoder.step(*inputs)
        if self._expected is not None:
            self._check(seats, logits_BV)
        draws = torch.from_numpy(self._draws[seats, self._step[seats]]).to(logits_BV.device)
        tokens = self._choose(logits_BV, draws).cpu().numpy()
        samples = self._sample[seats]
        self._ledger.tokens[samples, self._step[seats]] = tokens
        self._last[seats] = tokens
        self._length[seats] += 1
        self._step[seats] += 1
        ended = np.isin(tokens, self._request.ends)
        done = ended | (self._step[seats] == self._limit[seats])
        self._ledger.finished[samples[done]] = ended[done]
        self._ledger.num_tokens[samples[done]] = self._step[seats[done]]
        for seat in seats[done].tolist():
            self._leave(seat)
        yield from self._ledger.note_done(samples[done])

    def _begin(self, seat: int) -> bool:
        """Start the next sample in a free seat; return whether there is room for it."""
        sample = self._ledger.waiting[0]
        prompt = sample // self._request.num_samples
        if prompt not in self._prompts and not self._compute_prompts():
            return False
        held = self._prompts[prompt]
        room = min(self._request.length(sample), held.length + FIRST_TOKENS)
        reserved = RESERVED_SHARE * self._plan.slots if self.num_running else 0
        if self._slots.num_free - room < reserved:
            return False
        start = self._take(room)
        assert start is not None
        self._ledger.waiting.popleft()
        # The last token is computed again in the first step.
        self._moves.append((held.start, start, held.length - 1))
        self._sample[seat], self._order[seat] = sample, self._num_started
        self._start[seat], self._room[seat], self._length[seat] = start, room, held.length - 1
        self._step[seat], self._last[seat] = 0, self._request.prompts[prompt][-1]
        self._limit[seat] = self._request.limits[sample]
        self._draws[seat] = held.draws[sample % self._request.num_samples]
        self._num_started += 1
        if not self._ledger.waiting or self._ledger.waiting[0] // self._request.num_samples != prompt:
            self._forget(prompt)
        return True

    def _compute_prompts(self) -> bool:
        """Compute the prompts of the next samples that are not held; return whether there was room for the first."""
        group: list[int] = []
        width = 0
        for prompt in dict.fromkeys(sample // self._request.num_samples for sample in self._ledger.waiting):
            length = len(self._request.prompts[prompt])
            width = max(width, length)
            is_full = len(group) == PROMPTS_TOGETHER or (len(group) + 1) * width > PROMPT_TOKENS_TOGETHER
            if prompt in self._prompts or (group and is_full):
                break
            # Prompts that are held ahead leave room for a sample to begin and grow.
            if group and self._slots.num_free < length + 2 * self._longest:
                break
            start = self._take(length)
            if start is None:
                break
            self._prompts[prompt] = _HeldPrompt(start, length, self._request.draws(prompt))
            group.append(prompt)
        if group:
            self._prefill(group)
        return bool(group)

    def _prefill(self, group: Sequence[int]) -> None:
        """Compute prompts in one batch, padded on the right, and keep their keys and values."""
        self._flush()
        prompts = [self._request.prompts[place] for place in group]
        width = max(map(len, prompts))
        tokens = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
        cache = DynamicCache()
        # Only the first prompt's logits are of use, to check the first step by them.
        last_of_first = torch.tensor([len(prompts[0]) - 1], device=self._model.device)
        output: Any = self._model(
            input_ids=tokens.to(self._model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last_of_first,
        )
        if self._decoder is None:
            self._decoder = RaggedDecoder(
                self._model, cache, self._plan.slots, self._plan.rows, self._longest
            )
            self._expected = group[0], output.logits[0, -1].clone()
        self._decoder.store(
            cache,
            [
                (row * width, self._prompts[place].start + SCRATCH, len(prompt))
                for row, (place, prompt) in enumerate(zip(group, prompts, strict=True))
            ],
        )

    def _check(self, seats: NDArray[np.int64], logits_BV: torch.Tensor) -> None:
        """Compare the first step's logits with a plain forward's.

        Raises:
            UnusableCacheError: if they differ by more than rounding.
        """
        assert self._expected is not None
        prompt, expected_V = self._expected
        self._expected = None
        rows = np.flatnonzero(self._sample[seats] // self._request.num_samples == prompt)
        difference = float((logits_BV[rows[0]] - expected_V).double().norm() / expected_V.double().norm())
        # Logits that are no numbers are left to ``choose``, which says so.
        if difference > LARGEST_DIFFERENCE.get(expected_V.dtype, OTHERWISE):
            raise UnusableCacheError(
                f"{type(self._model).__name__}: a step's logits differ from a plain forward's by {difference:.1%}"
            )

    def _grow(self, seat: int) -> None:
        """Give a row a longer range, if need be at the cost of the row that started last."""
        sample, room = int(self._sample[seat]), int(self._room[seat])
        larger = min(self._request.length(sample), round(GROWTH * room))
        while (start := self._take(larger)) is None:
            if self._sample[seat] < 0:
                return
            youngest = self._youngest_first()
            if len(youngest) == 1:
                self._forget_all()
            else:
                self._put_back(youngest[0])
        if self._sample[seat] < 0:
            self._slots.give_back(start, larger)
            return
        self._moves.append((int(self._start[seat]), start, int(self._length[seat])))
        self._slots.give_back(int(self._start[seat]), room)
        self._start[seat], self._room[seat] = start, larger

    def _take(self, size: int) -> int | None:
        """Take a range, after moving all ranges together if there are enough slots in pieces."""
        start = self._slots.take(size)
        if start is None and self._slots.num_free >= size:
            self._compact()
            start = self._slots.take(size)
        return start

    def _compact(self) -> None:
        self._flush()
        owners: list[tuple[int, int, int | _HeldPrompt]] = [
            (int(self._start[seat]), int(self._room[seat]), seat) for seat in self._youngest_first()
        ]
        owners += [(held.start, held.length, held) for held in self._prompts.values()]
        owners.sort(key=lambda owner: owner[0])
        moved = self._slots.compact([(start, size) for start, size, _ in owners])
        for (start, size, owner), new in zip(owners, moved, strict=True):
            self._moves.append((start, new, size))
            if isinstance(owner, _HeldPrompt):
                owner.start = new
            else:
                self._start[owner] = new
        self._flush()

    def _flush(self) -> None:
        """Copy what has been given another range."""
        if self._moves and self._decoder is not None:
            self._decoder.copy([(old + SCRATCH, new + SCRATCH, count) for old, new, count in self._moves])
        self._moves.clear()

    def _youngest_first(self) -> list[int]:
        seats = np.flatnonzero(self._sample >= 0)
        return seats[np.argsort(-self._order[seats])].tolist()

    def _put_back(self, seat: int) -> None:
        self._ledger.waiting.appendleft(int(self._sample[seat]))
        self._leave(seat)

    def _leave(self, seat: int) -> None:
        self._slots.give_back(int(self._start[seat]), int(self._room[seat]))
        self._sample[seat] = -1

    def _forget(self, prompt: int) -> None:
        held = self._prompts.pop(prompt)
        self._slots.give_back(held.start, held.length)

    def _forget_all(self) -> None:
        assert self._prompts, "the plan was checked to hold the longest sample"
        for prompt in list(self._prompts):
            self._forget(prompt)


@dataclass
class _HeldPrompt:
    """A prompt's range, and the random numbers of its samples."""

    start: int
    length: int
    draws: NDArray[np.float64]
