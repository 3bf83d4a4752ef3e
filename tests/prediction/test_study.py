"""The experiment on a shipped pair, small: complete, resumed to equal records, the chosen interval as in other runs."""

from __future__ import annotations

import pytest

from slr.crc.study import SMOKE, crc_experiment
from slr.experiments import prediction
from slr.models.presets import find_pair
from slr.prediction.report import prediction_report
from slr.prediction.study import prediction_experiment
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, CrcSelection, IntervalHarnessScore, Samples, SpreadIntervals
from slr.runs.results import of_kind
from slr.runs.run_experiments import run_experiment

SPEC = find_pair("testbed-llama")
CONFIG = prediction.CONFIGS["testbed"].shortened()
EXPERIMENT = prediction_experiment("prediction", "?", CONFIG, SMOKE)


@pytest.fixture
def settings(settings_after_search: RunSettings) -> RunSettings:
    return settings_after_search


def run(settings: RunSettings) -> list[AnyRecord]:
    assert not run_experiment(EXPERIMENT, SPEC, settings).failed
    return store_of(EXPERIMENT, settings.output_dir).read()


def test_every_interval_is_measured_and_a_resumed_run_is_equal(settings: RunSettings) -> None:
    records = run(settings)
    (spread,) = of_kind(records, SpreadIntervals)
    (selection,) = of_kind(store_of(crc_experiment(SMOKE), settings.output_dir).read(), CrcSelection)
    assert spread.chosen == spread.intervals[0] == selection.interval
    assert len(spread.intervals) == CONFIG.num_intervals
    models = {None, *spread.intervals}
    assert {record.interval for record in of_kind(records, Samples)} == models
    assert {record.interval for record in of_kind(records, IntervalHarnessScore)} == models
    assert {record.task for record in of_kind(records, Samples)} == {task.task for task in CONFIG.tasks}
    assert len(prediction_report(records, SPEC.name).points) == CONFIG.num_intervals

    path = settings.output_dir / "prediction.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "".join(lines[1::2]))
    again = {record.key: record.model_dump(exclude={"provenance"}) for record in run(settings)}
    assert again == {record.key: record.model_dump(exclude={"provenance"}) for record in records}
    content = path.read_bytes()
    run(settings)
    assert path.read_bytes() == content

    assert EXPERIMENT.mirror is not None
    mirror = EXPERIMENT.mirror(records, SPEC.name)
    columns, rows = mirror.tables["intervals"]
    assert len(rows) == CONFIG.num_intervals
    assert all(len(row) == len(columns) for row in rows)


@pytest.mark.parametrize("preset", prediction.CONFIGS)
def test_every_preset_spreads_at_least_fifteen_intervals_over_all_tasks(preset: str) -> None:
    config = prediction.CONFIGS[preset]
    assert config.num_intervals >= 15
    assert [task.task for task in config.tasks] == ["creative_writing", "open_qa", "reasoning"]
