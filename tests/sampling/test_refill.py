"""Sampling with refilled rows and ragged caches, against the batches that run to their ends together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch

from slr.sampling import refill
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import choose_tokens, sample
from slr.sampling.memory import MemoryPlan, cache_bytes_per_token, plan_memory
from slr.sampling.ragged_cache import RaggedDecoder
from slr.sampling.refill import Request, UnusableCacheError, can_refill, iter_drawn
from slr.sampling.slots import Slots
from tests.sampling.test_generation import ENDS, IDS, MIXED, tiny_model
from tests.tiny_models import ARCHITECTURES, SLIDING_WINDOW, VOCAB_SIZE, make_model

PROMPTS = tuple(
    tuple(torch.randint(5, VOCAB_SIZE, (length,), generator=torch.Generator().manual_seed(length)).tolist())
    for length in (1, SLIDING_WINDOW - 5, SLIDING_WINDOW, 2 * SLIDING_WINDOW + 3, 11)
)
SEEDS = (11, 12, 13, 14, 15)
LONG = SamplingConfig(temperature=1.3, top_k=50, min_p=0.02, max_new_tokens=40)
PLAN = MemoryPlan(rows=6, slots=400)


def expected(architecture: str, num_samples: int = 4, config: SamplingConfig = LONG) -> list[list[list[int]]]:
    """The tokens of the batch that runs to its end together."""
    model = tiny_model(architecture)
    drawn = sample(model, IDS, PROMPTS, num_samples, config, SEEDS, end_tokens=ENDS)
    return [[[int(word) for word in one.text.split()] for one in samples] for samples in drawn]


def refilled(
    architecture: str, plan: MemoryPlan = PLAN, num_samples: int = 4, config: SamplingConfig = LONG, **changes: Any
) -> list[list[list[int]]]:
    """The same by refilled rows, without the token that ended an answer."""
    request = Request(
        prompts=PROMPTS,
        num_samples=num_samples,
        seeds=SEEDS,
        limits=[config.max_new_tokens] * (num_samples * len(PROMPTS)),
        ends=ENDS,
    )
    choose = partial(choose_tokens, config=config)
    drawn = dict(iter_drawn(tiny_model(architecture), request, choose, plan, **changes))
    assert sorted(drawn) == list(range(len(PROMPTS)))
    return [[one.tokens[: len(one.tokens) - one.finished] for one in drawn[place]] for place in range(len(PROMPTS))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_refilled_rows_draw_the_same_samples(architecture: str) -> None:
    running: list[int] = []
    assert refilled(architecture, on_step=running.append) == expected(architecture)
    assert max(running) == 6
    lengths = [len(answer) for answers in expected(architecture) for answer in answers]
    assert len(set(lengths)) > 5
