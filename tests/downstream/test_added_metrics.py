"""Metrics and tasks of other packages: measured once, kept with the package's version, shown from the records alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from slr.crc.study import SMOKE
from slr.downstream.added_metrics import with_metrics
from slr.downstream.methods import BASELINES
from slr.downstream.report import metric_values
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.models.presets import find_pair
from slr.runs.experiment import AnyExperiment, RunSettings, store_of
from slr.runs.records import AddedMetric, AnyRecord, Configuration, Failure, Samples
from slr.runs.results import of_kind
from slr.runs.round import Outcome
from slr.runs.run_experiments import run_experiment
from tests.installed_packages import install

SPEC = find_pair("testbed-llama")
QA = DownstreamConfig(
    task="open_qa",
    source="testbed",
    methods=BASELINES[:1],
    num_prompts=3,
    num_samples=4,
    max_new_tokens=8,
)
MODULE = """
from slr.downstream.metric import Metric
from slr.downstream.task import Task
from slr.tasks.prompts import TaskPrompt

def length(samples, measures):
    return {length}

LENGTH = Metric("length", "longest text", "length", length)
ECHO = Task(
    prompts=lambda source, count: [TaskPrompt(id=str(i), group="echo", text="Say a.") for i in range(count)],
    metrics=lambda source, num_samples, lengths: [LENGTH],
)
"""
Package = Callable[[str, str, str], None]


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Install a package with a metric and a task, given its module, its version and how the metric is computed."""

    def made(module: str, version: str, length: str) -> None:
        directory = tmp_path_factory.mktemp("package")
        (directory / f"{module}.py").write_text(MODULE.format(length=length), "utf-8")
        points = {
            "slr.metrics": {module: f"{module}:LENGTH"},
            "slr.tasks": {f"{module}_task": f"{module}:ECHO"},
        }
        install(directory, module, version, points)
        monkeypatch.syspath_prepend(directory)

    return made


def run(
    settings: RunSettings, metrics: list[str], config: DownstreamConfig = QA
) -> tuple[Outcome, AnyExperiment, list[AnyRecord]]:
    [experiment] = with_metrics([downstream_experiment("tested", "?", config, SMOKE)], metrics)
    outcome = run_experiment(experiment, SPEC, settings)
    return outcome, experiment, store_of(experiment, settings.output_dir).read()


def test_a_metric_measures_samples_that_are_on_record(
    settings_after_search: RunSettings, package: Package
) -> None:
    package("longest", "1.0", "max(map(len, samples.texts))")
    _, _, before = run(settings_after_search, [])
    outcome, experiment, records = run(settings_after_search, ["longest"])
    assert outcome.cells_run == 1
    assert of_kind(records, Samples) == of_kind(before, Samples)
    expected = {record.key: max(map(len, record.texts)) for record in of_kind(records, Samples)}
    assert {record.samples: record.value for record in of_kind(records, AddedMetric)} == expected
    assert run(settings_after_search, ["longest"])[0].cells_run == 0
    # Without the package, the records are enough.
    [shown] = [v for v in metric_values(records, SPEC.name) if v.metric.id == "longest"]
    assert shown.metric.label == "longest text (longest 1.0)"
    values = [value for of_prompt in shown.values["instruct"].values() for value in of_prompt.values()]
    assert sorted(value or 0 for value in values) == sorted(expected.values())
    assert experiment.mirror is not None
    shown_in_wandb = experiment.mirror(records, SPEC.name).summary
    assert any(name.endswith("instruct/longest") for name in shown_in_wandb)


def test_a_newer_package_measures_again_and_counts() -> None:
    from tests.downstream.test_report import samples

    record = samples("instruct", "color-1", "1")
    values = [
        AddedMetric(
            experiment="open_qa",
            pair="a pair",
            provenance=record.provenance.model_copy(update={"created_at": f"2026-01-0{day}T00:00:00+00:00"}),
            samples=record.key,
            metric="m",
            label="m",
            aspect="quality",
            package=f"pack {version}",
            value=value,
        )
        for day, version, value in ((2, "10.0", 0.5), (1, "9.0", 0.25))
    ]
    for order in (values, values[::-1]):
        [shown] = [v for v in metric_values([record, *order], "a pair") if v.metric.id == "m"]
        assert shown.values["instruct"][record.prompt_id] == {0: 0.5}


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("divides", "1 / 0", r"failed on .*ZeroDivisionError: division by zero"),
        ("endless", "float('inf')", "is inf on .*, expected a finite number or None"),
        ("texts", "'long'", "failed on .*ValueError: could not convert"),
    ],
)
def test_a_metric_that_fails_leaves_the_samples_and_says_so(
    settings_after_search: RunSettings, package: Package, name: str, length: str, message: str
) -> None:
    package(name, "0.1", length)
    outcome, _, records = run(settings_after_search, [name], replace(QA, num_prompts=1))
    assert outcome.failed == [f"testbed-llama/metric/{name}"]
    assert len(of_kind(records, Samples)) == 1
    [failure] = of_kind(records, Failure)
    assert failure.message.startswith(f"the metric '{name}' of the package {name} 0.1")
    with pytest.raises(ValueError, match=message):
        raise ValueError(failure.message)


def test_a_task_of_another_package_is_sampled_and_its_version_recorded(
    settings_after_search: RunSettings, package: Package
) -> None:
    package("echoes", "2.5", "len(samples.texts)")
    config = replace(QA, task="echoes_task", num_prompts=2)
    outcome, _, records = run(settings_after_search, [], config)
    assert not outcome.failed
    assert [(record.task, record.prompt_id) for record in of_kind(records, Samples)] == [
        ("echoes_task", "0"),
        ("echoes_task", "1"),
    ]
    [configuration] = of_kind(records, Configuration)
    assert configuration.versions["task"] == "echoes_task of echoes 2.5"
    [values] = metric_values(records, SPEC.name)
    assert values.metric.is_primary
    # No claim rests on it.
    assert not values.is_primary


def test_metrics_need_an_experiment_that_keeps_samples(package: Package) -> None:
    from slr.crc.study import crc_experiment

    package("unused", "1.0", "1")
    with pytest.raises(ValueError, match="--metrics is for experiments that keep samples"):
        with_metrics([crc_experiment(SMOKE)], ["unused"])
