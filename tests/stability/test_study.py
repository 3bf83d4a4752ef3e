"""The study of a shipped pair in its smoke size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slr.crc.scoring import encode_prompts, score_model
from slr.crc.study import SMOKE
from slr.experiments import catalogue
from slr.hybrid import restore
from slr.intervals import LayerInterval, all_intervals
from slr.models.loading import load_pair
from slr.models.presets import find_pair
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, CrcScore
from slr.runs.run_experiments import run_experiments
from slr.stability.report import min_p_choices, stability_report
from slr.stability.study import StabilityConfig, stability_experiment

SPEC = find_pair("testbed-llama")
EXPERIMENTS = catalogue.chosen_experiments("stability", "testbed", smoke=True)
STABILITY = EXPERIMENTS[-1]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    """A whole run; not to be altered."""
    settings = RunSettings(output_dir=tmp_path_factory.mktemp("stability"), dtype=torch.float32)
    outcomes = run_experiments(EXPERIMENTS, SPEC, settings)
    assert [outcome.failed for outcome in outcomes] == [[], []]
    return settings


@pytest.fixture(scope="module")
def records(settings: RunSettings) -> list[AnyRecord]:
    return [
        record for experiment in EXPERIMENTS for record in store_of(experiment, settings.output_dir).read()
    ]


def scores_in(
    records: list[AnyRecord], prompt_set: str, min_p: float | None
) -> dict[tuple[Any, ...], CrcScore]:
    return {
        (score.model, score.interval, score.alpha): score
        for score in records
        if isinstance(score, CrcScore) and (score.prompt_set, score.min_p) == (prompt_set, min_p)
    }


def test_every_interval_is_scored_on_held_out_prompts_as_its_hybrid(records: list[AnyRecord]) -> None:
    held_out = scores_in(records, "held_out", None)
    intervals = {ends for model, ends, _ in held_out if model == "hybrid"}
    assert intervals == {interval.ends for interval in all_intervals(12)}
    pair = load_pair("testbed-llama", dtype=torch.float32)
    encoded = encode_prompts(SMOKE.prompts("held_out"), pair.tokenizer)
    for ends in ((0, 1), (3, 8), (11, 12)):
        expected = score_model(restore(pair, LayerInterval(*ends)), encoded)
        assert np.array(held_out["hybrid", ends, None].validity, dtype=float) == pytest.approx(
            np.array(expected.validity, dtype=float), abs=1e-4
        )


def test_all_models_are_scored_with_min_p(records: list[AnyRecord]) -> None:
    selection, held_out = (scores_in(records, name, 0.1) for name in ("selection", "held_out"))
    assert selection.keys() == scores_in(records, "selection", None).keys()
    interval, alpha = min_p_choices(records, 0.1, SMOKE.rule)
    assert interval is not None
    chosen = {
        ("base", None, None),
        ("instruct", None, None),
        ("hybrid", interval.ends, None),
        ("soup", None, alpha),
    }
    assert held_out.keys() == chosen
    pair = load_pair("testbed-llama", dtype=torch.float32)
    encoded = encode_prompts(SMOKE.prompts("held_out"), pair.tokenizer, min_p=0.1)
    for key, model in (
        (("instruct", None, None), pair.instruct_model),
        (("hybrid", interval.ends, None), restore(pair, interval)),
    ):
        found, expected = held_out[key], score_model(model, encoded)
        assert np.array(found.validity, dtype=float) == pytest.approx(
            np.array(expected.validity, dtype=float), abs=1e-4
        )
        assert found.validity != scores_in(records, "held_out", None)[key].validity


def test_a_second_run_does_nothing(settings: RunSettings, records: list[AnyRecord]) -> None:
    outcomes = run_experiments(EXPERIMENTS, SPEC, settings)
    assert [outcome.cells_run for outcome in outcomes] == [0, 0]
    assert len({(record.experiment, record.key) for record in records}) == len(records)


def test_what_is_lost_is_measured_again_and_equal(
    settings: RunSettings, records: list[AnyRecord], tmp_path: Path
) -> None:
    for experiment in EXPERIMENTS:
        lines = store_of(experiment, settings.output_dir).path.read_text().splitlines(keepends=True)
        kept = lines[::2] if experiment is STABILITY else lines
        store_of(experiment, tmp_path).path.write_text("".join(kept))
    run_experiments(EXPERIMENTS, SPEC, RunSettings(output_dir=tmp_path, dtype=torch.float32))
    again = {record.key: record for record in store_of(STABILITY, tmp_path).read()}
    for record in records:
        if isinstance(record, CrcScore) and record.experiment == "stability":
            found = again[record.key]
            assert isinstance(found, CrcScore)
            assert (found.validity, found.diversity) == (record.validity, record.diversity)


def test_mirror_and_report_are_made_of_the_records(settings: RunSettings, records: list[AnyRecord]) -> None:
    assert STABILITY.mirror is not None
    own = store_of(STABILITY, settings.output_dir).read()
    mirror = STABILITY.mirror(own, SPEC.name)
    with_min_p = scores_in(records, "held_out", 0.1)["instruct", None, None]
    assert mirror.summary["min_p/instruct/validity"] == pytest.approx(
        np.mean([v or 0.0 for v in with_min_p.validity])
    )
    # The search has the chosen interval's scores on held-out prompts already.
    assert len(mirror.tables["held_out_intervals"][1]) == 77
    assert len(mirror.tables["min_p_intervals"][1]) == 78
    report = stability_report(records, SPEC.name)
    assert report.summary(report.bootstrap).num_prompts == 4


def test_another_min_p_is_another_configuration(settings: RunSettings) -> None:
    other = stability_experiment("stability", "?", StabilityConfig(min_p=0.2, crc=SMOKE))
    with pytest.raises(ValueError, match="min_p"):
        run_experiments([other], SPEC, settings)
