"""The search against the plain loop: one hybrid after the other, one forward a prompt."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Llama4TextConfig

from slr.costs.random_pairs import load_testbed_tokenizer, random_pair
from slr.crc import search as search_module
from slr.crc.prompts import CrcPrompt, load_prompts
from slr.crc.report import interval_candidates
from slr.crc.scoring import EncodedPrompts, PromptScores, character_log_probs, encode_prompts, score_model
from slr.crc.search import _iter_log_probs, count_layer_evaluations, iter_search, search
from slr.crc.selection import select
from slr.hybrid import restore
from slr.intervals import WHOLE, LayerInterval, Restoration, Stack, all_intervals
from slr.models.loading import ModelPair, load_pair
from slr.runs.provenance import provenance
from slr.runs.records import CrcScore, ModelKind
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES

BUDGET = 2**30
PROMPTS: tuple[CrcPrompt, ...] = load_prompts("selection")[::5]


def loop_log_probs(pair: ModelPair, encoded: EncodedPrompts, stack: Stack = WHOLE) -> NDArray[np.float64]:
    """The reference, shape (intervals, P, C)."""
    rows = []
    for interval in all_intervals(pair.num_layers):
        hybrid = restore(pair, interval, stack.alpha, stack.components)
        with torch.no_grad():
            logits = [hybrid(torch.tensor([tokens])).logits[:, -1] for tokens in encoded.token_ids]
        rows.append(character_log_probs(torch.cat(logits), encoded.character_tokens).numpy())
    return np.stack(rows)


def search_log_probs(
    pair: ModelPair, encoded: EncodedPrompts, stacks: Sequence[Stack] = (WHOLE,), budget: int = BUDGET
) -> NDArray[np.float64]:
    """Log-probabilities, by stack and interval."""
    starts = range(pair.num_layers)
    found = [rows for _, rows in _iter_log_probs(pair, encoded, stacks, starts, budget)]
    by_stack = [np.split(rows, len(stacks)) for rows in found]
    return np.concatenate([rows for of_stack in zip(*by_stack, strict=True) for rows in of_stack])


def assert_equal(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def record_of(scores: PromptScores, model: ModelKind, interval: LayerInterval | None = None) -> CrcScore:
    return CrcScore(
        experiment="crc_search",
        pair="tiny",
        provenance=provenance("search", "0" * 12, "CPU"),
        family="llama",
        num_layers=5,
        model=model,
        interval=None if interval is None else interval.ends,
        alpha=None,
        prompt_set="selection",
        prompt_ids=scores.prompt_ids,
        validity=scores.validity,
        diversity=scores.diversity,
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_loop(checkpoint_pairs: CheckpointPairs, architecture: str, tied: bool) -> None:
    pair = load_pair(*checkpoint_pairs(architecture, tied=tied))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    assert_equal(search_log_probs(pair, encoded), loop_log_probs(pair, encoded))


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_eager_attention_too(checkpoint_pairs: CheckpointPairs, architecture: str) -> None:
    pair = load_pair(*checkpoint_pairs(architecture))
    pair.instruct_model.set_attn_implementation("eager")
    pair.base_model.set_attn_implementation("eager")
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    assert_equal(search_log_probs(pair, encoded), loop_log_probs(pair, encoded))


STACKS = (Stack(0.25), WHOLE, Stack(1.0, ("attention",)), Stack(0.7, ("mlp", "norms")), Stack(0.4))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_stacks_in_one_pass_equal_the_loop(checkpoint_pairs: CheckpointPairs, architecture: str) -> None:
    pair = load_pair(*checkpoint_pairs(architecture))
    encoded = encode_prompts(PROMPTS[:3], pair.tokenizer)
    expected = np.concatenate([loop_log_probs(pair, encoded, stack) for stack in STACKS])
    assert_equal(search_log_probs(pair, encoded, STACKS), expected)


def test_stacks_differ(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("qwen3"))
    encoded = encode_prompts(PROMPTS[:3], pair.tokenizer)
    of_stacks = np.split(search_log_probs(pair, encoded, STACKS), len(STACKS))
    for one, other in itertools.combinations(of_stacks, 2):
        assert np.abs(one - other).max() > 1e-3


def test_small_memory_budget_with_several_stacks(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("mistral"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    budget = 1_300_000
    groups = [len(search_module._prompt_groups(encoded, pair, budget, count)) for count in (1, len(STACKS))]
    assert groups[0] < groups[1]
    found = search_log_probs(pair, encoded, STACKS, budget)
    np.testing.assert_allclose(found, search_log_probs(pair, encoded, STACKS), rtol=0, atol=1e-5)


def test_several_alphas_in_the_result(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    calls: list[tuple[float, float]] = []
    result = search(
        pair, PROMPTS[:4], alphas=(0.5, 1.0), on_progress=lambda done, total: calls.append((done, total))
    )
    # By hand for 5 layers and 2 stacks: prefix 4, open 2 * 15, closed and closing 2 * 20.
    assert count_layer_evaluations(5, num_stacks=2) == 74
    assert calls[-1] == (74, 74)
    assert result.counts.layer_evaluations == 74
    assert len(result.intervals) == 2 * len(all_intervals(5))
    half = next(s for s in result.intervals if (s.interval, s.alpha) == (LayerInterval(1, 4), 0.5))
    encoded = encode_prompts(PROMPTS[:4], pair.tokenizer)
    expected = score_model(restore(pair, half.interval, half.alpha), encoded)
    assert half.scores.validity == pytest.approx(expected.validity, abs=1e-5)
    of_whole = [s for s in result.intervals if s.alpha == 1]
    for found, alone in zip(of_whole, search(pair, PROMPTS[:4]).intervals, strict=True):
        assert found.interval == alone.interval
        assert found.scores.validity == pytest.approx(alone.scores.validity, abs=1e-6)


def test_the_choice_names_interval_alpha_and_components(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    result = search(pair, PROMPTS[:4], alphas=(0.5, 1.0), components=("mlp", "attention"))
    choice = result.select(0.2)
    chosen = choice.chosen
    assert chosen is not None
    assert choice.components == ("attention", "mlp")
    assert chosen.choice == Restoration(choice.interval, Stack(choice.alpha, choice.components))
    hybrid = restore(pair, choice.interval, choice.alpha, choice.components)
    scores = score_model(hybrid, encode_prompts(PROMPTS[:4], pair.tokenizer))
    assert chosen.diversity == pytest.approx(scores.mean_diversity, abs=1e-5)


@pytest.mark.parametrize("alphas", [(), (0.5, 0.5)])
def test_no_alpha_or_one_twice_is_refused(
    checkpoint_pairs: CheckpointPairs, alphas: tuple[float, ...]
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    with pytest.raises(ValueError, match="expected one or more, each once"):
        search(pair, PROMPTS[:2], alphas=alphas)


def test_min_p(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer, min_p=0.3)
    for _, found in iter_search(pair, encoded, starts=[0, 2]):
        for scored in found:
            expected = score_model(restore(pair, scored.interval), encoded)
            assert_equal(
                np.array(scored.scores.validity, dtype=float), np.array(expected.validity, dtype=float)
            )


@pytest.mark.parametrize("num_layers", [1, 2])
def test_smallest_models(checkpoint_pairs: CheckpointPairs, num_layers: int) -> None:
    pair = load_pair(*checkpoint_pairs("llama", num_layers=num_layers))
    encoded = encode_prompts(PROMPTS[:3], pair.tokenizer)
    assert_equal(search_log_probs(pair, encoded), loop_log_probs(pair, encoded))


def test_one_prompt_and_equal_prompts(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("gemma2"))
    for prompts in ([PROMPTS[0]], [PROMPTS[0], PROMPTS[0], PROMPTS[1]]):
        encoded = encode_prompts(prompts, pair.tokenizer)
        assert_equal(search_log_probs(pair, encoded), loop_log_probs(pair, encoded))


def test_small_memory_budget_splits_the_prompts(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("mistral"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    budget = 700_000
    assert len(search_module._prompt_groups(encoded, pair, budget, 1)) > 1
    np.testing.assert_allclose(
        search_log_probs(pair, encoded, budget=budget), search_log_probs(pair, encoded), rtol=0, atol=1e-5
    )


def test_memory_budget_too_small_says_how_much_is_needed(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    with pytest.raises(ValueError, match=r"does not hold the states of a single prompt .* give at least"):
        search(pair, PROMPTS, memory_budget_bytes=10_000)


LLAMA_4: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "intermediate_size_mlp": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 4,
    "no_rope_layers": [1, 0, 1],
    "attn_scale": 2.0,
    "initializer_range": 0.3,
}


@pytest.mark.parametrize("room", [1, 1.3, 100])
def test_queries_of_llama_4_are_scaled_as_in_the_loop(room: float) -> None:
    tokenizer = load_testbed_tokenizer()
    encoded = encode_prompts(PROMPTS, tokenizer)
    longest = max(map(len, encoded.token_ids))
    config = Llama4TextConfig(**LLAMA_4, vocab_size=len(tokenizer), floor_scale=int(room * longest) + 1)
    pair = random_pair("llama-4", config)
    assert_equal(search_log_probs(pair, encoded), loop_log_probs(pair, encoded))


def test_a_prompt_whose_queries_llama_4_scales_is_refused() -> None:
    tokenizer = load_testbed_tokenizer()
    encoded = encode_prompts(PROMPTS, tokenizer)
    longest = max(map(len, encoded.token_ids))
    pair = random_pair("llama-4", Llama4TextConfig(**LLAMA_4, vocab_size=len(tokenizer), floor_scale=longest))
    said = f"a prompt has {longest} tokens, expected at most {longest - 1}: Llama4ForCausalLM scales queries"
    with pytest.raises(ValueError, match=said):
        next(iter_search(pair, encoded))


def test_bfloat16(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama", dtype=torch.bfloat16))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    found, expected = search_log_probs(pair, encoded), loop_log_probs(pair, encoded)
    assert np.abs(found - expected).mean() < 0.05
    assert np.isfinite(found).all()


def test_scores_and_order_of_the_result(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    calls: list[tuple[float, float]] = []
    result = search(pair, PROMPTS, on_progress=lambda done, total: calls.append((done, total)))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    assert [scored.interval for scored in result.intervals] == all_intervals(pair.num_layers)
    instruct = score_model(pair.instruct_model, encoded)
    assert result.instruct.validity == pytest.approx(instruct.validity, abs=1e-5)
    one = result.intervals[7]
    expected = score_model(restore(pair, one.interval), encoded)
    assert one.scores.validity == pytest.approx(expected.validity, abs=1e-5)
    assert one.scores.prompt_ids == tuple(prompt.id for prompt in PROMPTS)
    total = count_layer_evaluations(pair.num_layers)
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert result.counts.layer_evaluations == total


def test_resumes_at_any_start(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("qwen2"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    whole = dict(iter_search(pair, encoded))
    calls: list[tuple[float, float]] = []
    some = dict(iter_search(pair, encoded, starts=[4, 2], on_progress=lambda *call: calls.append(call)))
    assert some == {start: whole[start] for start in (2, 4)}
    assert calls[-1][0] == calls[-1][1] == count_layer_evaluations(5, [2, 4])


@pytest.mark.parametrize(("num_layers", "expected"), [(1, 1), (2, 5), (12, 375)])
def test_counted_layer_evaluations(num_layers: int, expected: int) -> None:
    # By hand for 12: prefix 11, open 12 * 13 / 2 = 78, closed and closing 13 * 12 * 11 / 6 = 286.
    assert count_layer_evaluations(num_layers) == expected


def test_pair_is_not_altered(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("gemma3"))
    tokens = torch.arange(5, 30)[None]
    before = [model(tokens).logits for model in (pair.base_model, pair.instruct_model)]
    running = iter_search(pair, encode_prompts(PROMPTS, pair.tokenizer))
    next(running)
    assert not torch.is_inference_mode_enabled()
    after = [model(tokens).logits for model in (pair.base_model, pair.instruct_model)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_start_beyond_the_model_is_refused(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    with pytest.raises(ValueError, match=r"start layers \[5\] given for a model of 5 layers"):
        next(iter_search(pair, encode_prompts(PROMPTS, pair.tokenizer), starts=[5]))


def test_unknown_attention_is_refused(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    pair.instruct_model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="'eager' or 'sdpa', got 'flex_attention'"):
        next(iter_search(dataclasses.replace(pair), encode_prompts(PROMPTS, pair.tokenizer)))


def test_full_interval_is_not_the_base_model(checkpoint_pairs: CheckpointPairs) -> None:
    """Embeddings, final norm and LM head stay the instruct model's."""
    pair = load_pair(*checkpoint_pairs("llama", tied=False))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    full = next(iter_search(pair, encoded, starts=[0]))[1][-1]
    assert full.interval == LayerInterval(0, 5)
    assert full.scores != score_model(pair.base_model, encoded)


def test_the_choice_is_the_one_that_the_records_of_the_search_give(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    result = search(pair, PROMPTS)
    records = [record_of(result.instruct, "instruct")] + [
        record_of(scored.scores, "hybrid", scored.interval) for scored in result.intervals
    ]
    of_records = [dataclasses.replace(c, choice=Restoration(c.choice)) for c in interval_candidates(records)]
    assert result.candidates == of_records
    assert result.candidates[3].validity == result.intervals[3].scores.mean_validity
    for ratio, margin in ((0.9, False), (0.3, False), (0.5, True)):
        expected = select(of_records, result.instruct.mean_validity, ratio, margin)
        assert result.select(ratio, margin) == expected


def test_without_an_admissible_interval_the_selection_says_why(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    result = search(pair, PROMPTS)
    valid = dataclasses.replace(result.instruct, validity=(1.0,) * len(PROMPTS))
    selection = dataclasses.replace(result, instruct=valid).select()
    assert selection.chosen is None
    with pytest.raises(
        ValueError, match=r"no interval was chosen: none: of 15 candidates .* smaller min_validity"
    ):
        selection.interval  # noqa: B018


def test_the_selection_prompts_are_the_default(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama", num_layers=2))
    expected = tuple(prompt.id for prompt in load_prompts("selection"))
    assert search(pair).instruct.prompt_ids == expected
