"""Speed of sampling at a real model's shape: refilled rows, fixed batches, ``generate`` and continuous batching.

The weights and the prompts are random, so no answer ends by itself. Each sample has a length of its own instead, at
which it ends. Lengths are log-normal with a median of 300 tokens and cut at 4,096, or all the same. Every method gets
the same prompts, lengths and number of seconds, and its tokens are counted up to then.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from slr.costs.random_pairs import load_testbed_tokenizer, random_model
from slr.costs.shape_cost import DTYPE, shortened_shape
from slr.runs.provenance import peak_memory_bytes, reset_peak_memory
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import choose_tokens, sample_together
from slr.sampling.memory import free_bytes, plan_memory
from slr.sampling.refill import Request, iter_drawn

Lengths = Literal["realistic", "equal"]
Method = Literal["refilled", "fixed", "generate", "continuous"]
PROMPT_TOKENS = 60
MEDIAN_TOKENS = 300
SPREAD = 1.0
"""Standard deviation of the logarithm of a realistic length."""
LONGEST_ANSWER = {"realistic": 4096, "equal": 192}
"""Largest number of new tokens, by kind of lengths."""
NUM_PROMPTS, NUM_SAMPLES = 400, 32
"""More samples than any method draws in a few minutes."""
FIXED_ROWS = 64
"""Number of rows of the fixed batches, and of ``generate``."""
SECONDS_TO_FIRST_TOKEN = 30
"""Time that continuous batching has to set itself up."""
CPU_BYTES = 10**9
"""Memory that is planned with on a CPU, where the script only shows that it works."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed of one method.

    Attributes:
        method: name of the method.
        num_tokens: number of new tokens.
        seconds: wall-clock time in seconds.
        late_speed: tokens per second in the second half of the time, when as many rows are long as later on.
        peak_bytes: largest number of bytes of tensors.
        remark: how many rows there were, in words.
    """

    method: str
    num_tokens: int
    seconds: float
    late_speed: float
    peak_bytes: int
    remark: str

    def __str__(self) -> str:
        """Describe the speed in one line."""
        return (
            f"{self.method}: {self.num_tokens / self.seconds:,.0f} tokens/s ({self.num_tokens:,} in {self.seconds:.1f} "
            f"s), {self.late_speed:,.0f} in the second half; peak {self.peak_bytes / 1e9:.1f} GB; {self.remark}"
        )


class _TimeUpError(Exception):
    pass


class _Clock:
    """Counts a method's tokens until the time is over."""

    def __init__(self, seconds: float) -> None:
        self.began = time.perf_counter()
        self._seconds = seconds
        self.ticks: list[tuple[float, int]] = []
        self.num_tokens = 0

    def tick(self, num_tokens: int) -> None:
        """Add tokens.

        Raises:
            _TimeUpError: when the time is over.
        """
        self.num_tokens += num_tokens
        elapsed = time.perf_counter() - self.began
        self.ticks.append((elapsed, self.num_tokens))
        if elapsed > self._seconds:
            raise _TimeUpError

    def late_speed(self) -> float:
        """Tokens per second in the second half of the time."""
        end, total = self.ticks[-1]
        middle, before = next(tick for tick in self.ticks if tick[0] >= end / 2)
        return (total - before) / (end - middle) if end > middle else total / end


@dataclass(frozen=True, kw_only=True)
class _Work:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    request: Request
    config: SamplingConfig

    def groups(self, rows: int) -> Iterator[tuple[slice, list[int]]]:
        """Prompts whose samples are together at most this number of rows, and the samples' lengths."""
        size, each = max(1, rows // self.request.num_samples), self.request.num_samples
        for first in range(0, len(self.request.prompts), size):
            yield slice(first, first + size), list(self.request.limits[first * each : (first + size) * each])


def iter_speeds(
    shape: str,
    device: str,
    methods: Sequence[Method],
    seconds: float,
    lengths: Lengths,
    num_layers: int | None = None,
) -> Iterator[Speed | str]:
    """Measure methods one after the other on one random model.

    Args:
        shape: name of a shape.
        device: device to compute on. On a CPU the shape is shortened.
        methods: names of the methods.
        seconds: time of each method in seconds; before it each one warms up for a few steps.
        lengths: kind of lengths.
        num_layers: number of layers, if fewer than the shape has.

    Yields:
        The speed of each method, or its error in words.
    """
    kind = torch.device(device).type
    config = shortened_shape(shape, device, num_layers)
    model = random_model(config, device, DTYPE[kind], 0)
    longest = LONGEST_ANSWER[lengths]
    count = NUM_PROMPTS * NUM_SAMPLES
    generator = np.random.default_rng(0)
    drawn = np.full(count, longest)
    if lengths == "realistic":
        drawn = MEDIAN_TOKENS * np.exp(SPREAD * generator.standard_normal(count))
    request = Request(
        prompts=generator.integers(5, config.vocab_size, (NUM_PROMPTS, PROMPT_TOKENS)).tolist(),
        num_samples=NUM_SAMPLES,
        seeds=range(NUM_PROMPTS),
        limits=np.clip(drawn, 1, longest).astype(int).tolist(),
        # No token has this id, so a sample ends at its own length only.
        ends=[config.vocab_size],
    )
    settings = SamplingConfig(temperature=1.0, min_p=0.1, max_new_tokens=longest)
    work = _Work(model=model, tokenizer=load_testbed_tokenizer(), request=request, config=settings)
    for method in methods:
        try:
            yield _measured(work, method, seconds, device)
        except Exception as error:  # the other methods are measured whatever fails in this one
            yield f"{method}: {type(error).__name__}: {str(error)[:500]}"
        gc.collect()
        if kind == "cuda":
            torch.cuda.empty_cache()


def _measured(work: _Work, method: Method, seconds: float, device: str) -> Speed:
    run = _METHODS[method]
    # Libraries set themselves up in the first steps.
    if method != "continuous":  # it sets itself up before its first token, from which its clock counts
        run(work, _Clock(min(2.0, seconds / 4)))
    reset_peak_memory(device)
    clock = _Clock(seconds)
    remark = run(work, clock)
    end, num_tokens = clock.ticks[-1]
    return Speed(
        method=method,
        num_tokens=num_tokens,
        seconds=end,
        late_speed=clock.late_speed(),
        peak_bytes=peak_memory_bytes(device),
        remark=remark,
    )


def _refilled(work: _Work, clock: _Clock) -> str:
    def choose(logits_BV: torch.Tensor, draws_B: torch.Tensor) -> torch.Tensor:
        tokens_B = choose_tokens(logits_BV, draws_B, work.config)
        clock.tick(len(draws_B))
        return tokens_B

    model, request = work.model, work.request
    plan = plan_memory(
        model.config,
        model.dtype,
        free_bytes(model) if model.device.type == "cuda" else CPU_BYTES,
        num_answers=len(request.limits),
        longest_prompt=request.longest_prompt,
        longest_answer=work.config.max_new_tokens,
    )
    try:
        for _ in iter_drawn(model, request, choose, plan):
            pass
    except _TimeUpError:
        pass
    return f"{plan.rows} rows and {plan.slots:,} tokens by memory"


def _fixed(work: _Work, clock: _Clock) -> str:
    try:
        for prompts, limits in work.groups(FIXED_ROWS):
            running = [len(limits)]

            def on_step(num_running: int, running: list[int] = running) -> None:
                clock.tick(running[-1])
                running.append(num_running)

            sample_together(
                work.model,
                work.tokenizer,
                work.request.prompts[prompts],
                work.request.num_samples,
                work.config,
                work.request.seeds[prompts],
                work.request.ends,
                on_step,
                limits,
            )
    except _TimeUpError:
        pass
    return f"{FIXED_ROWS} rows"


class _AtLengths(StoppingCriteria):
    """Ends each row at its length, and all rows when the time is over."""

    def __init__(
        self, limits: Sequence[int], prompt_tokens: int, clock: _Clock, device: torch.device
    ) -> None:
        self._limits = torch.tensor(limits, device=device)
        self._prompt_tokens = prompt_tokens
        self._clock = clock
        self._sorted = sorted(limits)

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> Any:
        step = input_ids.shape[1] - self._prompt_tokens
        self._clock.tick(sum(limit >= step for limit in self._sorted))
        return self._limits <= step


def _generate(work: _Work, clock: _Clock) -> str:
    try:
        for prompts, limits in work.groups(FIXED_ROWS):
            tokens = torch.tensor(work.request.prompts[prompts], device=work.model.device)
            work.model.generate(  # pyright: ignore[reportCallIssue]
                tokens,
                attention_mask=torch.ones_like(tokens),
                stopping_criteria=StoppingCriteriaList(
                    [_AtLengths(limits, tokens.shape[1], clock, tokens.device)]
                ),
                generation_config=_generation_config(work, work.request.num_samples),
            )
    except _TimeUpError:
        pass
    return f"{FIXED_ROWS} rows"


def _continuous(work: _Work, clock: _Clock) -> str:
    """Draw by transformers' manager of continuous batching; it streams, so that unfinished answers count too.

    Raises:
        RuntimeError: if no token comes.
    """
    model: Any = work.model
    each = work.request.num_samples
    seen: dict[str, int] = {}
    with model.continuous_batching_context_manager(
        generation_config=_generation_config(work), block=True, timeout=5
    ) as manager:
        for number, limit in enumerate(work.request.limits):
            prompt = list(work.request.prompts[number // each])
            manager.add_request(prompt, f"{number}", max_new_tokens=limit, streaming=True, eos_token_id=-1)
        asked = time.perf_counter()
        try:
            while manager.is_running():
                result = manager.get_result(timeout=0.1)
                if not seen:
                    clock.began = time.perf_counter()
                if result is not None:
                    clock.tick(len(result.generated_tokens) - seen.get(result.request_id, 0))
                    seen[result.request_id] = len(result.generated_tokens)
                elif seen:
                    clock.tick(0)
                elif time.perf_counter() - asked > SECONDS_TO_FIRST_TOKEN:
                    break
        except _TimeUpError:
            manager.stop(block=False, hard_stop=True)
    if not seen:
        raise RuntimeError(f"continuous batching gave no token in {SECONDS_TO_FIRST_TOKEN} s")
    return "rows by transformers"


def _generation_config(work: _Work, num_return_sequences: int = 1) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True,
        temperature=work.config.temperature,
        min_p=work.config.min_p,
        top_k=0,
        top_p=1.0,
        max_new_tokens=work.config.max_new_tokens,
        num_return_sequences=num_return_sequences,
        pad_token_id=0,
    )


_METHODS: dict[Method, Callable[[_Work, _Clock], str]] = {
    "refilled": _refilled,
    "fixed": _fixed,
    "generate": _generate,
    "continuous": _continuous,
}
