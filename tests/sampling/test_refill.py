"""Sampling with refilled rows and ragged caches, against the batches that run to their ends together."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from slr.costs.shape_cost import SHAPES
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.loading import load_pair
from slr.models.transformers_internals import attention_implementation
from slr.sampling import generation, ragged_cache, refill
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import Sample, choose_tokens, iter_samples, sample
from slr.sampling.memory import MemoryPlan, cache_bytes_per_token, plan_memory
from slr.sampling.ragged_cache import RaggedDecoder, keys_and_values
from slr.sampling.refill import Request, RowBatch, UnusableCacheError, can_refill, iter_drawn
from slr.sampling.slots import Slots
from tests.conftest import CheckpointPairs
from tests.sampling.test_generation import ENDS, IDS, ids, tiny_model
from tests.tiny_models import (
    ARCHITECTURES,
    SLIDING_WINDOW,
    VOCAB_SIZE,
    make_model,
    spread_over_devices,
)

PROMPTS = tuple(
    tuple(torch.randint(5, VOCAB_SIZE, (length,), generator=torch.Generator().manual_seed(length)).tolist())
    for length in (1, SLIDING_WINDOW - 5, SLIDING_WINDOW, 2 * SLIDING_WINDOW + 3, 11)
)
SEEDS = (11, 12, 13, 14, 15)
LONG = SamplingConfig(temperature=1.3, top_k=50, min_p=0.02, max_new_tokens=40)
PLAN = MemoryPlan(rows=6, slots=400)


@cache
def expected(architecture: str, config: SamplingConfig = LONG) -> list[list[list[int]]]:
    """The tokens of batches of one prompt each, which run to their ends together."""
    answers = []
    for prompt, seed in zip(PROMPTS, SEEDS, strict=True):
        (drawn,) = sample(tiny_model(architecture), IDS, [prompt], 4, config, [seed], end_tokens=ENDS)
        answers.append([ids(one) for one in drawn])
    return answers


def request(limits: Sequence[int] = (LONG.max_new_tokens,) * 4 * len(PROMPTS)) -> Request:
    return Request(prompts=PROMPTS, num_samples=4, seeds=SEEDS, limits=limits, ends=ENDS)


def refilled(
    architecture: str, plan: MemoryPlan = PLAN, config: SamplingConfig = LONG, **changes: Any
) -> list[list[list[int]]]:
    """The same by refilled rows, without the token that ended an answer."""
    choose = partial(choose_tokens, config=config)
    drawn = dict(iter_drawn(tiny_model(architecture), request(), choose, plan, **changes))
    assert sorted(drawn) == list(range(len(PROMPTS)))
    return [[one.tokens[: len(one.tokens) - one.finished] for one in drawn[n]] for n in range(len(PROMPTS))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_refilled_rows_draw_the_same_samples(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step, rows, running = RaggedDecoder.step, [], []

    def recorded(self: RaggedDecoder, *inputs: torch.Tensor) -> torch.Tensor:
        rows.append(len(inputs[0]))
        return step(self, *inputs)

    monkeypatch.setattr(RaggedDecoder, "step", recorded)
    assert refilled(architecture, on_step=running.append) == expected(architecture)
    # Finished rows are replaced as long as samples wait, so the number of rows never rises again.
    num_tokens = sum(rows)
    assert rows[0] == 6
    assert rows == sorted(rows, reverse=True)
    lengths = [len(answer) for answers in expected(architecture) for answer in answers]
    assert len(set(lengths)) > 5
    assert sum(lengths) < num_tokens <= sum(lengths) + len(lengths)
    assert len(running) == len(rows)
    assert running[-1] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_gpu_draws_the_same_samples_as_a_cpu(architecture: str) -> None:
    model: Any = copy.deepcopy(tiny_model(architecture))
    model.to("cuda")
    drawn = sample(model, IDS, PROMPTS, 4, LONG, SEEDS, end_tokens=ENDS, rows=6)
    assert [[ids(one) for one in of_prompt] for of_prompt in drawn] == expected(architecture)


@pytest.mark.parametrize("rows", [1, 3, 20, 64])
def test_neither_rows_nor_lack_of_room_change_a_sample(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refill, "FIRST_TOKENS", 2)
    put_back, compacted = [], []
    for name, calls in (("_put_back", put_back), ("_compact", compacted)):
        monkeypatch.setattr(RowBatch, name, counted(getattr(RowBatch, name), calls))
    longest = max(map(len, PROMPTS)) + LONG.max_new_tokens
    # As few slots as are allowed, which only a few long answers fit in.
    plan = MemoryPlan(rows=rows, slots=1 + 2 * longest + max(map(len, PROMPTS)))
    assert refilled("llama", plan) == expected("llama")
    assert compacted or rows == 1
    assert put_back or rows < 20


def counted(function: Any, calls: list[None]) -> Any:
    def count(*arguments: Any) -> Any:
        calls.append(None)
        return function(*arguments)

    return count


@pytest.mark.parametrize("few_together", [1, 2])
def test_neither_do_the_prompts_computed_together(few_together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refill, "PROMPTS_TOGETHER", few_together)
    monkeypatch.setattr(ragged_cache, "TOKENS_COPIED", 5)
    monkeypatch.setattr(ragged_cache, "ROWS_GATHERED", 2)
    assert refilled("gemma3") == expected("gemma3")


def test_greedy_answers_too() -> None:
    greedy = dataclasses.replace(LONG, temperature=0.0)
    assert refilled("qwen3", config=greedy) == expected("qwen3", greedy)


@pytest.mark.parametrize("fails_at", [0, 1, 30])
def test_out_of_memory_halves_the_rows_and_loses_no_finished_sample(
    fails_at: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    step, running, done_before = RaggedDecoder.step, [], []

    def failing(self: RaggedDecoder, *inputs: torch.Tensor) -> torch.Tensor:
        running.append(len(inputs[0]))
        if len(running) == fails_at + 1:
            raise torch.OutOfMemoryError("no memory is left")
        return step(self, *inputs)

    monkeypatch.setattr(RaggedDecoder, "step", failing)
    choose, found = partial(choose_tokens, config=LONG), {}
    for place, drawn in iter_drawn(tiny_model("llama"), request(), choose, PLAN):
        done_before.append(len(running) <= fails_at)
        found[place] = [one.tokens[: len(one.tokens) - one.finished] for one in drawn]
    assert [found[place] for place in range(len(PROMPTS))] == expected("llama")
    assert len(done_before) == len(PROMPTS)
    assert max(running[: fails_at + 1]) == 6
    assert max(running[fails_at + 1 :]) == 3
    assert "goes on with 3 rows" in caplog.text
    assert any(done_before) == (fails_at == 30)


def test_one_row_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory is left")

    monkeypatch.setattr(RaggedDecoder, "step", failing)
    with pytest.raises(torch.OutOfMemoryError):
        refilled("llama")


def test_a_plan_without_room_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the longest answer needs 138 tokens in the cache.* holds 100"):
        refilled("llama", MemoryPlan(rows=2, slots=100))


def test_each_sample_has_its_own_limit() -> None:
    limits = [1 + place % 7 for place in range(4 * len(PROMPTS))]
    choose = partial(choose_tokens, config=LONG)
    drawn = dict(iter_drawn(tiny_model("llama"), request(limits), choose, PLAN))
    found = [one for place in range(len(PROMPTS)) for one in drawn[place]]
    assert all(len(one.tokens) == limit or one.finished for one, limit in zip(found, limits, strict=True))
    assert sum(not one.finished for one in found) > 10


def test_another_computation_in_the_steps_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: Any, query_BH1D: torch.Tensor, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        return query_BH1D.transpose(1, 2), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, ragged_cache.ATTENTION_NAME, wrong)
    with pytest.raises(
        UnusableCacheError, match="LlamaForCausalLM: a step's logits differ from a plain forward's by"
    ):
        refilled("llama")


def test_the_model_is_as_before() -> None:
    model = tiny_model("gemma3")
    before = model.config.to_dict()
    refilled("gemma3")
    assert attention_implementation(model.config) == "sdpa"
    assert model.config.to_dict() == before


def test_a_hybrid_has_configurations_of_two_models(checkpoint_pairs: CheckpointPairs) -> None:
    hybrid = restore(load_pair(*checkpoint_pairs("llama"), dtype=torch.float64), LayerInterval(1, 3))
    choose = partial(choose_tokens, config=LONG)
    drawn = dict(iter_drawn(hybrid, request(), choose, PLAN))
    plain = sample(hybrid, IDS, PROMPTS, 4, LONG, SEEDS, end_tokens=ENDS)
    for place, answers in enumerate(plain):
        shown = [one.tokens[: len(one.tokens) - one.finished] for one in drawn[place]]
        assert shown == [ids(answer) for answer in answers]


def test_models_with_other_layers_are_not_refilled() -> None:
    model = make_model("llama")
    assert can_refill(model)
    assert can_refill(make_model("gemma3"))
    spread_over_devices(model)
    assert not can_refill(model)
    other = make_model("qwen2")
    other.config.layer_types = ["full_attention", "linear_attention"]
    assert not can_refill(other)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bytes_of_a_token_are_the_caches(architecture: str) -> None:
    model = make_model(architecture, dtype=torch.bfloat16)
    filled = DynamicCache()
    model(torch.tensor([[5, 6, 7]]), past_key_values=filled, use_cache=True)
    count = sum(tensor.nbytes for layer in keys_and_values(filled) for tensor in layer)
    assert count == 3 * cache_bytes_per_token(model.config, torch.bfloat16)


def test_rows_by_hand() -> None:
    # A token of Llama-3.1-8B takes 2 x 32 layers x 8 heads x 128 x 2 bytes, which are 128 KiB.
    config = SHAPES["llama-8b"]
    assert cache_bytes_per_token(config, torch.bfloat16) == 131_072
    plan_for = partial(plan_memory, config, torch.bfloat16, longest_prompt=60, longest_answer=4096)
    plan = plan_for(60 * 10**9, num_answers=6400)
    row = (60 + 512) * 131_072 + 128_256 * 40
    assert plan.rows == min(512, int(0.85 * 60e9) // row) == 512
    assert plan.slots == (int(0.85 * 60e9) - 512 * 128_256 * 40) // 131_072
    assert plan_for(8 * 10**9, num_answers=6400).rows == int(0.85 * 8e9) // row == 84
    assert plan_for(8 * 10**9, num_answers=6400, rows=200).rows == 200
    assert plan_for(60 * 10**9, num_answers=7).rows == 7
    assert plan_for(0, num_answers=6400).rows == 1


def test_slots_against_a_plain_list() -> None:
    generator = random.Random(3)
    slots = Slots(60)
    owner_of: list[int | None] = [None] * 60
    ranges: dict[int, tuple[int, int]] = {}
    for number in range(2000):
        size = generator.randint(1, 12)
        if ranges and generator.random() < 0.5:
            start, length = ranges.pop(generator.choice(list(ranges)))
            slots.give_back(start, length)
            owner_of[start : start + length] = [None] * length
        elif (start := slots.take(size)) is not None:
            assert owner_of[start : start + size] == [None] * size
            owner_of[start : start + size] = [number] * size
            ranges[number] = (start, size)
        else:
            gaps = "".join(" x"[owner is not None] for owner in owner_of).split("x")
            assert max(map(len, gaps)) < size
        assert slots.num_free == owner_of.count(None)
    taken = sorted(ranges.values())
    assert slots.compact(taken) == [sum(size for _, size in taken[:place]) for place in range(len(taken))]
    assert slots.take(owner_of.count(None)) == sum(size for _, size in taken)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU takes the way of a GPU with a gigabyte of free memory."""
    monkeypatch.setattr(generation, "refills_rows", can_refill)
    monkeypatch.setattr(generation, "free_bytes", lambda _: 10**9)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_sample_gives_the_same_answers_where_rows_are_refilled(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []

    def draw(most: int | None) -> dict[int, list[Sample]]:
        model = tiny_model("llama")
        return dict(
            iter_samples(model, IDS, PROMPTS, 4, LONG, SEEDS, end_tokens=ENDS, rows=most, on_rows=rows.append)
        )

    drawn = [draw(None), draw(5)]
    assert rows == [20, 5]
    assert drawn[0] == drawn[1]
    monkeypatch.undo()
    together = sample(tiny_model("llama"), IDS, PROMPTS, 4, LONG, SEEDS, end_tokens=ENDS)
    assert [drawn[0][place] for place in range(len(PROMPTS))] == together


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_model_that_cannot_be_refilled_is_sampled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unusable(*_: Any) -> None:
        raise UnusableCacheError("it computes otherwise")

    monkeypatch.setattr(RowBatch, "_check", unusable)
    found = sample(tiny_model("llama"), IDS, PROMPTS, 4, LONG, SEEDS, end_tokens=ENDS)
    assert "rows are not refilled while sampling, because it computes otherwise" in caplog.text
    assert [[ids(one) for one in answers] for answers in found] == expected("llama")
