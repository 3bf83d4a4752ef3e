from __future__ import annotations

import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slr.models.reference import ModelReference, UnusablePairError
from slr.runs.experiment import AnyExperiment, Cell, CellContext, Cost, Experiment, RunSettings, store_of
from slr.runs.records import AnyRecord, CrcScore, Failure
from slr.runs.run_experiments import next_round, run_experiment, run_experiments
from slr.terminal.progress import OnWork
from tests.runs.soup_scores import key_of, score, spec_named

SPEC = replace(
    spec_named("tiny"),
    base=ModelReference("no-such-directory/base/x"),
    instruct=ModelReference("no-such-directory/instruct/x"),
)
COST = Cost(layer_evaluations=1, tokens=1, flops=None)


@dataclass(frozen=True)
class Settings:
    ratio: float = 0.9


class Work:
    """Cells that count what they compute, and fail at the alphas that they are told to."""

    def __init__(self) -> None:
        self.computed: list[float] = []
        self.failing: dict[float, BaseException] = {}

    def cell(self, name: str, alphas: Sequence[float], needs: tuple[str, ...] = ()) -> Cell:
        def run(context: CellContext) -> Iterator[list[AnyRecord]]:
            for alpha in alphas:
                if key_of(alpha) not in context.results:
                    if alpha in self.failing:
                        raise self.failing[alpha]
                    self.computed.append(alpha)
                    yield [score(context, alpha)]

        keys = [key_of(alpha) for alpha in alphas]
        return Cell(key=f"tiny/{name}", record_keys=lambda _: keys, run=run, cost=COST, needs=needs)

    def experiment(self, config: Any = Settings()) -> AnyExperiment:
        cells = [
            self.cell("first", [0.1, 0.2, 0.3]),
            self.cell("second", [0.4]),
            self.cell("third", [0.5], needs=("tiny/first",)),
        ]
        return Experiment(name="soups", question="?", config=config, cells=lambda _: cells, job_type="search")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(output_dir=tmp_path)


def test_a_second_run_computes_nothing_and_says_so(settings: RunSettings, capsys: pytest.CaptureFixture[str]):
    work = Work()
    first = run_experiment(work.experiment(), SPEC, settings)
    assert (first.cells_done, first.cells_run, first.failed) == (0, 3, [])
    content = store_of(work.experiment(), settings.output_dir).path.read_bytes()
    capsys.readouterr()
    second = run_experiment(work.experiment(), SPEC, settings)
    assert (second.cells_done, second.cells_run, second.failed) == (3, 0, [])
    assert work.computed == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert store_of(work.experiment(), settings.output_dir).path.read_bytes() == content
    assert capsys.readouterr().err == "soups tiny: nothing to do, 6 records are there\n"


def test_a_stopped_cell_goes_on_where_it_was(settings: RunSettings):
    work = Work()
    work.failing = {0.3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run_experiment(work.experiment(), SPEC, settings)
    assert store_of(work.experiment(), settings.output_dir).keys() == {
        "tiny/configuration",
        key_of(0.1),
        key_of(0.2),
    }
    work.failing = {}
    run_experiment(work.experiment(), SPEC, settings)
    assert work.computed == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_progress_counts_cells_by_their_cost_and_tells_of_parts(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
):
    shown: list[tuple[str, float, float]] = []

    @contextmanager
    def spy() -> Generator[OnWork]:
        yield lambda *now: shown.append(now)

    def run(context: CellContext) -> Iterator[list[AnyRecord]]:
        context.on_progress(1, 2)
        yield [score(context, 0.2)]

    monkeypatch.setattr("slr.runs.run_progress.work_bar", spy)
    cheap = Work().cell("cheap", [0.1])
    dear = Cell(
        key="tiny/dear", record_keys=lambda _: [key_of(0.2)], run=run, cost=replace(COST, flops=8 * 5e10)
    )
    experiment = replace(Work().experiment(), cells=lambda _: [cheap, dear])
    run_experiment(experiment, SPEC, settings)
    first, second = "cell 1 of 2, soups tiny", "cell 2 of 2, soups tiny"
    assert shown == [(first, 1, 9), (second, 5, 9), (second, 9, 9)]


def test_a_failed_cell_is_recorded_skips_what_needs_it_and_is_tried_again(
    settings: RunSettings, capsys: pytest.CaptureFixture[str]
):
    work = Work()
    work.failing = {0.2: RuntimeError("out of memory")}
    outcome = run_experiment(work.experiment(), SPEC, settings)
    assert outcome.failed == ["tiny/first", "tiny/third"]
    assert work.computed == [0.1, 0.4]
    store = store_of(work.experiment(), settings.output_dir)
    [failure] = [record for record in store.read() if isinstance(record, Failure)]
    assert (failure.provenance.cell, failure.error_type, failure.message) == (
        "tiny/first",
        "RuntimeError",
        "out of memory",
    )
    said = capsys.readouterr().err
    assert "tiny/first: failed: RuntimeError: out of memory" in said
    assert "tiny/third: left out, because it needs tiny/first" in said
    work.failing = {}
    assert run_experiment(work.experiment(), SPEC, settings).failed == []
    assert work.computed == [0.1, 0.4, 0.2, 0.3, 0.5]
    assert not any(isinstance(record, Failure) for record in store.read())
    assert store.path.read_text().count('"kind":"configuration"') == 1


def test_another_configuration_is_refused(settings: RunSettings):
    import torch

    work = Work()
    run_experiment(work.experiment(), SPEC, settings)
    with pytest.raises(ValueError, match="another configuration"):
        run_experiment(work.experiment(Settings(ratio=0.8)), SPEC, settings)
    other_dtype = RunSettings(output_dir=settings.output_dir, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="another configuration"):
        run_experiment(work.experiment(), SPEC, other_dtype)


def test_a_setting_that_is_in_records_may_change(settings: RunSettings):
    """Its own records stand side by side, the others are made once, and a cell sees none of the other setting's."""
    seen: list[list[float]] = []

    def experiment(ratio: float) -> AnyExperiment:
        def run(context: CellContext) -> Iterator[list[AnyRecord]]:
            seen.append([r.alpha for r in context.results.values() if isinstance(r, CrcScore) and r.alpha])
            yield [score(context, ratio)]

        keys = [key_of(ratio)]
        chosen = Cell(
            key="tiny/chosen", record_keys=lambda _: keys, run=run, cost=COST, needs=("tiny/first",)
        )
        return replace(
            Work().experiment(Settings(ratio)),
            cells=lambda _: [work.cell("first", [0.1]), chosen],
            settings_in_records=("ratio",),
            is_wanted=lambda record: not isinstance(record, CrcScore) or record.alpha in (0.1, ratio),
        )

    work = Work()
    for ratio in (0.9, 0.8, 0.9):
        run_experiment(experiment(ratio), SPEC, settings)
    assert work.computed == [0.1]
    assert seen == [[0.1], [0.1]]
    assert {key_of(0.8), key_of(0.9)} <= store_of(experiment(0.9), settings.output_dir).keys()


def test_other_checkpoints_under_the_same_name_are_refused(settings: RunSettings, tmp_path: Path):
    spec = replace(SPEC, base=ModelReference(str(tmp_path)))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"trained once")
    run_experiment(Work().experiment(), spec, settings)
    assert run_experiment(Work().experiment(), spec, settings).cells_run == 0
    with pytest.raises(ValueError, match=r"instruct was no-such-.* and is now org/other"):
        run_experiment(Work().experiment(), replace(spec, instruct=ModelReference("org/other")), settings)
    weights.write_bytes(b"trained again")
    with pytest.raises(ValueError, match="weights of base changed since 20"):
        run_experiment(Work().experiment(), spec, settings)


def experiment_that_loads() -> AnyExperiment:
    def run(context: CellContext) -> Iterator[list[AnyRecord]]:
        assert context.pair is context.pair
        yield [score(context, 0.1)]

    cell = Cell(key="tiny/first", record_keys=lambda _: [key_of(0.1)], run=run, cost=COST)
    return Experiment(
        name="soups", question="?", config=Settings(), cells=lambda _: [cell], job_type="search"
    )


def test_a_pair_that_cannot_be_loaded_is_said_with_its_name_and_leaves_no_record(settings: RunSettings):
    with pytest.raises(UnusablePairError, match=r"^tiny: there is no directory"):
        run_experiment(experiment_that_loads(), SPEC, settings)
    assert not store_of(experiment_that_loads(), settings.output_dir).path.exists()


def test_a_pair_is_loaded_once_and_only_for_a_cell_that_asks_and_then_freed(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
):
    from torch import nn

    from slr.models import loading as checkpoints

    loads: list[object] = []
    models: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def load_spec(*_: object, **options: object) -> checkpoints.ModelPair:
        loads.append(options)
        model: Any = nn.Linear(1, 1)
        models.add(model)
        return checkpoints.ModelPair("other", "llama", SPEC.base, SPEC.instruct, model, model, model)

    monkeypatch.setattr(checkpoints, "load_spec", load_spec)
    spec = replace(SPEC, num_layers=None)
    experiment = experiment_that_loads()
    both = [experiment, replace(experiment, name="again")]
    assert [outcome.cells_run for outcome in run_experiments(both, spec, settings)] == [1, 1]
    assert not models
    run_experiments(both, spec, settings)
    assert loads == [{"dtype": None, "device": "cpu", "device_map": None}]


def test_a_failure_is_told_without_controls(settings: RunSettings, capsys: pytest.CaptureFixture[str]):
    work = Work()
    message = "\x1b[2Jgone\rtiny: done\nfinished\u202e"
    work.failing = {0.4: RuntimeError(message)}
    run_experiment(work.experiment(), SPEC, settings)
    shown = "tiny/second: failed: RuntimeError: \\x1b[2Jgone\\rtiny: done\\nfinished\\u202e\n"
    assert shown in capsys.readouterr().err
    (failed,) = [r for r in store_of(work.experiment(), settings.output_dir).read() if isinstance(r, Failure)]
    assert failed.message == message


def test_the_cells_that_work_waits_for_run_first():
    make = Work().cell
    counting = replace(make("counting", [], needs=("tiny/last",)), cost=replace(COST, tokens=0))
    chosen = replace(make("chosen", [], needs=("tiny/first",)), cost=replace(COST, tokens=0))
    one = [make("first", []), make("other", []), chosen, make("last", [], needs=("tiny/chosen",)), counting]
    waiting = [one, [make("another", [])]]
    rounds = []
    while any(waiting):
        cells = next_round(waiting)
        waiting = [[cell for cell in own if cell not in now] for own, now in zip(waiting, cells, strict=True)]
        rounds.append([cell.key.removeprefix("tiny/") for now in cells for cell in now])
    assert rounds == [["first"], ["chosen"], ["other", "last", "another"], ["counting"]]
