"""Choices among partial, componentwise and scattered restorations, from scores that are made up."""

from __future__ import annotations

import dataclasses
import itertools
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slr.crc.localisation import PairScores, as_layers, random_layer_sets
from slr.crc.localisation_study import LocalisationConfig, localisation_experiment
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.study import SMOKE, crc_experiment
from slr.hybrid import restore, restore_layers
from slr.intervals import WHOLE, LayerInterval, LayerSet, Restoration, Stack, all_intervals
from slr.models.loading import load_spec
from slr.models.presets import find_pair
from slr.runs.experiment import RunSettings, store_of
from slr.runs.provenance import provenance
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results import of_kind
from slr.runs.run_experiments import run_experiment
from slr.vocabulary import PromptSet

NUM_LAYERS = 4
PROMPT_IDS = ("a", "b", "c", "d", "e")
SPREAD = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
HEADER: dict[str, Any] = {
    "experiment": "localisation",
    "pair": "tiny",
    "provenance": provenance("cell", "0" * 12, "CPU"),
}
GAINS = (0.01, 0.02, 0.05, 0.04)
"""Gain in diversity of each layer. Each restored layer costs 0.03 of validity."""


def score(
    validity: float,
    diversity: float,
    choice: Restoration | LayerSet | float | None,
    prompt_set: PromptSet = "selection",
    model: str = "hybrid",
) -> CrcScore:
    restoration = choice if isinstance(choice, Restoration) else None
    partial = restoration is not None and restoration.alpha != 1
    return CrcScore(
        **HEADER,
        family="llama",
        num_layers=NUM_LAYERS,
        model=model,  # pyright: ignore[reportArgumentType]
        interval=restoration.interval.ends if restoration else None,
        alpha=restoration.alpha if restoration and partial else choice if isinstance(choice, float) else None,
        components=restoration.components if restoration and len(restoration.components) < 3 else None,
        layers=tuple(sorted(choice)) if isinstance(choice, frozenset) else None,
        prompt_set=prompt_set,
        prompt_ids=PROMPT_IDS,
        validity=tuple(validity + SPREAD),
        diversity=tuple(diversity + SPREAD[::-1]),
    )


def additive(layers: LayerSet, share: float = 1.0) -> tuple[float, float]:
    return 0.9 - 0.03 * len(layers) * share, 0.4 + sum(GAINS[n] for n in layers) * share


def records(prompt_sets: tuple[PromptSet, ...] = ("selection", "held_out")) -> list[AnyRecord]:
    found: list[AnyRecord] = [
        CrcSelection(
            **HEADER,
            family="llama",
            num_layers=NUM_LAYERS,
            min_validity_ratio=0.9,
            instruct_validity=0.9,
            interval=(2, 4),
            interval_reason="",
            soup_alpha=0.5,
            soup_reason="",
        )
    ]
    stacks = (Stack(0.5), WHOLE, Stack(1.0, ("mlp",)))
    for prompt_set in prompt_sets:
        found.append(score(0.9, 0.4, None, prompt_set, "instruct"))
        found.append(score(0.85, 0.45, 0.5, prompt_set, "soup"))
        for interval, stack in itertools.product(all_intervals(NUM_LAYERS), stacks):
            share = stack.alpha if stack.components != ("mlp",) else 0.4
            found.append(
                score(*additive(as_layers(interval), share), Restoration(interval, stack), prompt_set)
            )
        for size in (1, 2):
            sets = map(frozenset, itertools.combinations(range(NUM_LAYERS), size))
            found += [score(*additive(layers), layers, prompt_set) for layers in sets]
    return found


def test_choices_are_the_most_diverse_ones_that_are_valid_enough() -> None:
    scores = PairScores(records())
    choices = scores.choices
    # At least 0.81 of validity is needed: three whole layers, so layers 1 to 3 gain 0.11 and two halves no more.
    assert choices["partial"] == Restoration(LayerInterval(1, 4))
    assert choices["single"] == Restoration(LayerInterval(2, 3))
    assert choices["decoder_soup"] == Restoration(LayerInterval(0, 4), Stack(0.5))
    assert choices["same_alpha"] == choices["decoder_soup"]
    assert choices["mlp"] == Restoration(LayerInterval(0, 4), Stack(1.0, ("mlp",)))
    assert choices["hybrid"] == Restoration(LayerInterval(2, 4))
    assert scores.is_complete


def test_scores_with_min_p_by_another_experiment_change_nothing() -> None:
    own = records()
    with_min_p = [
        record.model_copy(update={"min_p": 0.1, "diversity": tuple(1.0 for _ in record.prompt_ids)})
        for record in own
        if isinstance(record, CrcScore)
    ]
    assert PairScores([*own, *with_min_p]).choices == PairScores(own).choices
    assert PairScores([*own, *with_min_p]).held_out == PairScores(own).held_out


def test_the_greedy_set_takes_the_best_layers() -> None:
    steps = list(PairScores(records()).greedy_steps())
    assert [chosen for _, chosen in steps] == [{2}, {2, 3}]
    assert set(steps[1][0]) == {frozenset({2, n}) for n in (0, 1, 3)}


def test_without_the_next_scores_the_greedy_choice_waits() -> None:
    without = [r for r in records() if not (isinstance(r, CrcScore) and len(r.layers or ()) == 2)]
    # The intervals of two layers are scored, but not all sets of two.
    steps = list(PairScores(without).greedy_steps())
    assert steps[-1][1] is None
    assert PairScores(without).greedy is None
    assert not PairScores(without).is_complete


def test_random_sets_are_different_uniform_and_always_the_same() -> None:
    first = list(islice(random_layer_sets("pair", 10, 3), 50))
    assert first == list(islice(random_layer_sets("pair", 10, 3), 50))
    assert first != list(islice(random_layer_sets("other", 10, 3), 50))
    assert len(set(first)) == 50
    assert all(len(layers) == 3 for layers in first)
    assert set(random_layer_sets("pair", 5, 2)) == set(map(frozenset, itertools.combinations(range(5), 2)))


def test_the_mean_of_random_sets_is_over_sets_prompt_by_prompt() -> None:
    scores = PairScores(records())
    mean = scores.held_out["random"]
    drawn = scores.random_sets("held_out")
    assert len(drawn) == 6
    assert mean.diversity[1] == pytest.approx(np.mean([s.diversity[1] for s in drawn if s.diversity[1]]))


def test_additive_gains_have_slope_and_correlation_one() -> None:
    found = PairScores(records()).additivity
    assert found is not None
    assert len(found.gains) == 6
    assert found.slope.mean == pytest.approx(1)
    assert found.correlation.mean == pytest.approx(1)


def test_gains_that_double_have_slope_two() -> None:
    doubled: list[AnyRecord] = []
    for record in records(("selection",)):
        if isinstance(record, CrcScore) and record.interval and record.interval[1] - record.interval[0] > 1:
            gain = np.array(record.diversity, dtype=float) - (0.4 + SPREAD[::-1])
            record = record.model_copy(update={"diversity": tuple(0.4 + SPREAD[::-1] + 2 * gain)})
        doubled.append(record)
    found = PairScores(doubled).additivity
    assert found is not None
    assert found.slope.mean == pytest.approx(2)


SPEC = find_pair("testbed-llama")
CONFIG = LocalisationConfig(
    alphas=(0.5,), components=(("mlp",),), num_random_sets=2, search=dataclasses.replace(SMOKE)
)


def test_the_study_scores_what_it_says_and_goes_on(
    settings_after_search: RunSettings, tmp_path: Path
) -> None:
    settings = settings_after_search
    experiment = localisation_experiment("?", CONFIG)
    outcome = run_experiment(experiment, SPEC, settings)
    assert (outcome.cells_run, outcome.failed) == (4, [])
    found = store_of(experiment, tmp_path).read()
    assert run_experiment(experiment, SPEC, settings).cells_run == 0
    # A run that was stopped in the middle ends with the same records.
    path = store_of(experiment, tmp_path).path
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:100]))
    assert run_experiment(experiment, SPEC, settings).failed == []
    again = {record.key for record in store_of(experiment, tmp_path).read()}
    assert again == {record.key for record in found}

    pair = load_spec(SPEC, dtype=torch.float32)
    prompts = [p for p in load_prompts("held_out") if p.id in of_kind(found, CrcScore)[-1].prompt_ids]
    encoded = encode_prompts(prompts, pair.tokenizer)
    searched = store_of(crc_experiment(SMOKE), tmp_path).read()
    scores = PairScores([*searched, *found])
    assert scores.is_complete
    assert scores.greedy is not None
    partial = scores.choices["partial"]
    for name, model in (
        ("partial", restore(pair, partial.interval, partial.alpha)),
        ("mlp", restore(pair, scores.choices["mlp"].interval, components=("mlp",))),
        ("greedy", restore_layers(pair, scores.greedy)),
    ):
        expected = score_model(model, encoded)
        assert scores.held_out[name].validity == pytest.approx(expected.validity, abs=1e-4)
