"""Real seconds on record: of cells that were stopped, that failed, and that an earlier version began."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from slr.analysis.load_results import Results
from slr.analysis.tables.times import times
from slr.models.presets import PRESETS
from slr.runs.cell_times import measured_cells
from slr.runs.dry_run import print_plan
from slr.runs.experiment import AnyExperiment, Cell, CellContext, Cost, Experiment, RunSettings
from slr.runs.record_lines import line_of
from slr.runs.records import AnyRecord
from slr.runs.results_store import ResultsStore
from slr.runs.run_experiments import run_experiment
from slr.runs.script import ScriptOptions
from slr.runs.speed import KNOWN_SPEEDS
from tests.runs.soup_scores import SPEC, key_of, score

# A cell of 40 estimated seconds on a CPU, half of them while sampling.
SPEED = KNOWN_SPEEDS["cpu"]
FLOPS = 20 * (SPEED.forward + SPEED.sampling)
COST = Cost(
    layer_evaluations=3,
    tokens=5,
    flops=FLOPS,
    sampled_share=SPEED.sampling / (SPEED.forward + SPEED.sampling),
)


class Clock:
    """A clock that only the cells move on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("slr.runs.round.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def cell(clock: Clock, name: str, seconds: dict[float, float], stop: BaseException | None = None) -> Cell:
    """A cell that takes the given seconds for each alpha, and is then stopped."""

    def run(context: CellContext) -> Iterator[Sequence[AnyRecord]]:
        for alpha, took in seconds.items():
            if key_of(alpha) not in context.results:
                clock.now += took
                yield [score(context, alpha)]
        if stop is not None:
            clock.now += 500
            raise stop

    keys = [*map(key_of, seconds)] + ([key_of(0.9)] if stop else [])
    return Cell(key=f"tiny/{name}", record_keys=lambda _: keys, run=run, cost=COST)


def experiment(*cells: Cell) -> AnyExperiment:
    return Experiment(name="soups", question="?", config=COST, cells=lambda _: list(cells), job_type="search")


def records_in(directory: Path) -> list[AnyRecord]:
    return ResultsStore(directory / "soups.jsonl").read()


def seconds_in(directory: Path) -> dict[str, float]:
    return {key: cell.seconds for (_, key), cell in measured_cells(records_in(directory)).items()}


def test_a_cell_that_is_stopped_and_resumed_adds_its_parts(clock: Clock, tmp_path: Path) -> None:
    settings = RunSettings(output_dir=tmp_path)
    stopped = experiment(cell(clock, "first", {0.1: 3.0, 0.2: 4.0}, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(stopped, SPEC, settings)
    assert seconds_in(tmp_path) == {"tiny/first": 7.0}
    run_experiment(experiment(cell(clock, "first", {0.1: 3.0, 0.2: 4.0, 0.9: 8.0})), SPEC, settings)
    [(_, found)] = measured_cells(records_in(tmp_path)).items()
    assert found.seconds == 15.0
    assert found.device.startswith("CPU, ")
    assert (found.work.processes, found.work.flops) == (1, FLOPS)


def test_a_failed_cell_has_no_time_until_it_is_done(clock: Clock, tmp_path: Path) -> None:
    settings = RunSettings(output_dir=tmp_path)
    run_experiment(experiment(cell(clock, "first", {0.1: 3.0}, RuntimeError("broken"))), SPEC, settings)
    assert seconds_in(tmp_path) == {}
    run_experiment(experiment(cell(clock, "first", {0.1: 3.0, 0.9: 8.0})), SPEC, settings)
    assert seconds_in(tmp_path) == {"tiny/first": 11.0}


def test_a_cell_that_an_earlier_version_began_has_no_time(clock: Clock, tmp_path: Path) -> None:
    settings = RunSettings(output_dir=tmp_path)
    run_experiment(experiment(cell(clock, "first", {0.1: 3.0})), SPEC, settings)
    path = tmp_path / "soups.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["provenance"].pop("took", None)
        row["provenance"]["created_at"] = "2026-01-01T00:00:00+00:00"
    earlier = "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    path.write_text(earlier, encoding="utf-8")
    assert "".join(map(line_of, records_in(tmp_path))) == earlier
    whole = experiment(
        cell(clock, "first", {0.1: 3.0, 0.2: 4.0}), cell(clock, "second", {0.3: 5.0, 0.4: 6.0})
    )
    run_experiment(whole, SPEC, settings)
    assert seconds_in(tmp_path) == {"tiny/second": 11.0}


def test_the_table_compares_the_time_with_the_estimate(clock: Clock, tmp_path: Path) -> None:
    cells = cell(clock, "first", {0.1: 10.0}), cell(clock, "second", {0.2: 40.0, 0.3: 10.0})
    run_experiment(experiment(*cells), SPEC, RunSettings(output_dir=tmp_path))
    [row] = times(Results(tuple(records_in(tmp_path)))).rows
    assert (row[0], row[2], row[3]) == ("soups", 1, 2)
    assert row[4:] == pytest.approx((80.0, 60.0, 0.75))


def test_a_dry_run_scales_what_is_left_by_the_time_of_what_is_done(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, left = cell(clock, "first", {0.1: 120.0}), cell(clock, "second", {0.2: 1.0})
    run_experiment(experiment(done), SPEC, RunSettings(output_dir=tmp_path))
    preset = replace(PRESETS["testbed"], pairs=(SPEC,))
    options = ScriptOptions(output_dir=tmp_path, figures_dir=tmp_path, preset=preset)
    print_plan([experiment(done, left)], options)
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("soups"))
    assert row.split(maxsplit=4) == ["soups", "1", "of", "2", "1 min 20 s  2 min 00 s  2 min 00 s"]
    assert "took 3.00 times their estimate" in printed
