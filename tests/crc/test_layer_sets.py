"""Sets of layers against the plain loop: one hybrid after the other, one forward a prompt."""

from __future__ import annotations

import itertools

import pytest

from slr.crc.layer_sets import count_set_evaluations, greedy_layer_sets, score_layer_sets
from slr.crc.prompts import load_prompts
from slr.crc.scoring import EncodedPrompts, PromptScores, encode_prompts, score_model
from slr.crc.search import search
from slr.hybrid import with_layers
from slr.intervals import LayerSet
from slr.models.decoder import decoder_layers
from slr.models.loading import ModelPair, load_pair
from tests.conftest import CheckpointPairs

PROMPTS = load_prompts("selection")[::10]
SETS: list[LayerSet] = [
    frozenset(s) for s in ((), (0,), (4,), (0, 4), (1, 3), (0, 2, 4), (0, 1, 2, 3, 4), (4, 0))
]


def plain(pair: ModelPair, encoded: EncodedPrompts, layers: LayerSet) -> PromptScores:
    """The reference: a hybrid assembled layer by layer, scored by plain forwards."""
    both = zip(decoder_layers(pair.instruct_model), decoder_layers(pair.base_model), strict=True)
    chosen = [base if index in layers else instruct for index, (instruct, base) in enumerate(both)]
    return score_model(with_layers(pair.instruct_model, chosen), encoded)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_equals_the_loop(checkpoint_pairs: CheckpointPairs, architecture: str, stream: bool) -> None:
    pair = load_pair(*checkpoint_pairs(architecture), stream=stream)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    for layers, found in zip(SETS, score_layer_sets(pair, encoded, SETS), strict=True):
        expected = plain(pair, encoded, layers)
        assert found.validity == pytest.approx(expected.validity, abs=1e-5)
        assert found.diversity == pytest.approx(expected.diversity, abs=1e-4)


def test_small_memory_budget_gives_the_same(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    whole = score_layer_sets(pair, encoded, SETS)
    for found, expected in zip(
        score_layer_sets(pair, encoded, SETS, memory_budget_bytes=400_000), whole, strict=True
    ):
        assert found.validity == pytest.approx(expected.validity, abs=1e-6)


def test_counted_evaluations_are_the_ones_that_are_made(checkpoint_pairs: CheckpointPairs) -> None:
    # By hand: {}, {0}, {0, 1} and {2} of three layers have 2, 3 and 4 states.
    assert count_set_evaluations(3, [(), (0,), (0, 1), (2,)]) == 9
    # All sets of n layers share as much as they can: 2 + 4 + ... + 2^n.
    every = [set(s) for size in range(6) for s in itertools.combinations(range(5), size)]
    assert count_set_evaluations(5, every) == 62
    pair = load_pair(*checkpoint_pairs("llama"))
    calls: list[tuple[float, float]] = []
    encoded = encode_prompts(PROMPTS[:2], pair.tokenizer)
    score_layer_sets(pair, encoded, SETS, on_progress=lambda *call: calls.append(call))
    assert calls[-1] == (count_set_evaluations(5, SETS),) * 2


def test_greedy_choice_equals_one_by_hand(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("qwen2"))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    instruct = plain(pair, encoded, frozenset()).mean_validity
    chosen: LayerSet = frozenset()
    for step in greedy_layer_sets(pair, encoded, 3):
        tried = {chosen | {layer}: plain(pair, encoded, chosen | {layer}) for layer in set(range(5)) - chosen}
        assert {layers for layers, _ in step.scored} == set(tried)
        valid = {s: scores for s, scores in tried.items() if scores.mean_validity >= 0.9 * instruct}
        chosen = (
            max(valid, key=lambda layers: valid[layers].mean_diversity or 0)
            if valid
            else max(tried, key=lambda layers: tried[layers].mean_validity)
        )
        assert step.chosen == chosen


def test_contiguous_sets_equal_the_search(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("mistral"))
    result = search(pair, PROMPTS)
    sets = [range(*scored.interval.ends) for scored in result.intervals]
    found = score_layer_sets(pair, encode_prompts(PROMPTS, pair.tokenizer), sets)
    for scored, scores in zip(result.intervals, found, strict=True):
        assert scores.validity == pytest.approx(scored.scores.validity, abs=1e-6)


@pytest.mark.parametrize("sets", [[], [(0, 5)], [(-1,)]])
def test_sets_that_name_no_layer_are_refused(
    checkpoint_pairs: CheckpointPairs, sets: list[tuple[int, ...]]
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    with pytest.raises(ValueError, match="model of 5 layers, counted from 0"):
        score_layer_sets(pair, encode_prompts(PROMPTS, pair.tokenizer), sets)
    with pytest.raises(ValueError, match="size is 6, expected 1 to 5"):
        next(greedy_layer_sets(pair, encode_prompts(PROMPTS, pair.tokenizer), 6))
