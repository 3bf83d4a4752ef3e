"""The definition as the library makes it offline, against what the experiments' own mirrors log."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_workspaces.reports.v2.interface import Report
from wandb_workspaces.workspaces import Workspace

from slr.analysis import dashboard
from slr.analysis.claims.catalogue import CLAIMS, JudgedClaim
from slr.analysis.dashboard import SECTIONS, Bars, Picture, Rows, Section
from slr.analysis.figures import FIGURES
from slr.analysis.page.section import ShownVerdict
from slr.analysis.verdict_mirror import verdict_mirror
from slr.cli import main
from slr.costs.search_cost import CostCase, cost_experiment
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.runs.experiment import AnyExperiment
from slr.runs.records import AnyRecord, CrcFewShotScore
from slr.runs.run_content import named_for_wandb
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Verdict
from tests.analysis.downstream_records import DOWNSTREAM, harness_scores, judge_scores, samples_and_measures
from tests.analysis.synthetic import PROVENANCE, crc_records, mechanism_records, stability_records

ROOT = Path(__file__).parents[2]
PAIR = "testbed-llama"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every metric that some experiment logs, as its real configuration and its own mirror name it."""
    monkeypatch.setenv("SLR_JUDGE_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("SLR_JUDGE_MODEL", "a judge")
    names: set[str] = set()
    for experiment, records in measured():
        assert experiment.mirror is not None
        mirror = named_for_wandb(experiment.name, experiment.mirror(records, PAIR))
        names |= mirror.summary.keys()
        names |= mirror.tables.keys()
        names |= {f"{name}/{column}" for name, (columns, _) in mirror.curves.items() for column in columns}
    return names | verdict_names()


def verdict_names() -> set[str]:
    """Every metric and table of the runs with verdicts, if each claim was judged."""
    found = Verdict(outcome="yes", estimate=Estimate(0.5, 0.4, 0.6, 9))
    shown = [ShownVerdict.from_claim(JudgedClaim(claim, PAIR, found)) for claim in CLAIMS]
    mirror = named_for_wandb("verdicts", verdict_mirror(shown))
    return {*mirror.summary, *mirror.tables}


def measured() -> Iterator[tuple[AnyExperiment, list[AnyRecord]]]:
    """Every experiment that is mirrored, with records of one pair."""
    searched = crc_records(PAIR)
    yield crc_experiment(CrcStudyConfig()), [*searched, few_shot_score()]
    yield script("stability").experiment("testbed", False), stability_records(PAIR)
    yield script("mechanism").experiment("testbed", False), mechanism_records(PAIR)
    yield cost_experiment(CostCase(num_layers=3)), searched
    for preset in ("testbed", "laptop"):
        for name in DOWNSTREAM:
            experiment = script(name).experiment(preset, False)
            samples: list[AnyRecord] = list(samples_and_measures(experiment, PAIR))
            yield experiment, samples
            if name == "creative_writing":
                judge = script("judge").experiment(preset, False)
                yield judge, list(judge_scores(judge, samples))
    for preset in ("testbed", "laptop", "paper"):
        quality = script("quality").experiment(preset, False)
        yield quality, list(harness_scores(quality, PAIR))


def few_shot_score() -> CrcFewShotScore:
    return CrcFewShotScore(
        experiment="crc_search",
        pair=PAIR,
        provenance=PROVENANCE,
        family="llama",
        prompt_set="held_out",
        document="0123456789abcdef",
        prompt_ids=("one",),
        validity=(0.9,),
        diversity=(0.8,),
    )


def script(name: str) -> Any:
    return importlib.import_module(f"slr.experiments.{name}")


def not_logged(sections: tuple[Section, ...], logged: set[str]) -> set[str]:
    tables = {panel.name for section in sections for panel in section.panels if isinstance(panel, Rows)}
    return ({metric for section in sections for metric in section.metrics} | tables) - logged


def test_every_metric_shown_is_one_that_is_logged(logged: set[str]) -> None:
    assert not_logged(SECTIONS, logged) == set()


def test_a_panel_of_something_else_would_be_noticed(logged: set[str]) -> None:
    wrong = Bars("wrong", ("crc_search/held_out/slr/diversity", "open_qa/closed/hybrid/precision"))
    section = dataclasses.replace(SECTIONS[0], panels=(*SECTIONS[0].panels, wrong, Rows("verdicts/all")))
    assert not_logged((section,), logged) == {"crc_search/held_out/slr/diversity", "verdicts/all"}


def test_every_picture_is_one_that_is_drawn() -> None:
    shown = {panel.name for section in SECTIONS for panel in section.panels if isinstance(panel, Picture)}
    assert shown <= {figure.id for figure in FIGURES}


def test_the_definition_has_every_panel_twice_and_groups_runs(tmp_path: Path) -> None:
    assert main(["dashboard", "--wandb", "my-team/slr", "--json", str(tmp_path / "dashboard.json")]) == 0
    made = json.loads((tmp_path / "dashboard.json").read_text())
    assert made["workspace"]["entity"] == "my-team"
    assert made["report"]["project"] == {"name": "slr", "entityName": "my-team"}
    workspace = made["workspace"]["spec"]["section"]
    sections = workspace["panelBankConfig"]["sections"]
    grids = [block["metadata"] for block in made["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    assert [section["name"] for section in sections] == [section.name for section in SECTIONS]
    assert [section["name"] for section in sections][:3] == ["Verdicts", "CRC search", "Localisation"]
    assert '"verdicts/claims"' in json.dumps(sections[0]["panels"])
    for section, shown, grid in zip(SECTIONS, sections, grids, strict=True):
        assert metrics_in(shown["panels"]) == section.metrics
        assert metrics_in(grid["panelBankSectionConfig"]["panels"]) == section.metrics
        assert len(shown["panels"]) == len(section.panels)
    for runs in (workspace["runSets"], *(grid["runSets"] for grid in grids)):
        assert [key["name"] for key in runs[0]["grouping"]] == ["preset.value", "family.value"]
        [only] = runs[0]["filters"]["filters"]
        assert (only["key"]["name"], only["op"], only["value"]) == ("size", "=", "full")


def metrics_in(panels: list[dict[str, Any]]) -> set[str]:
    configs = [panel["config"] for panel in panels]
    return {name for config in configs for name in [*config.get("metrics", []), config.get("xAxis")] if name}


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is saved by a user who is logged in, in place of sending it."""

    class Api:
        def artifact_types(self, project: str) -> list[Any]:
            if project != "my-team/slr":
                raise ValueError("no such project")
            return []

    saved: list[Any] = []
    monkeypatch.setattr(dashboard, "log_in", lambda: None)
    monkeypatch.setattr(dashboard, "connect", Api)
    for kind in (Workspace, Report):
        monkeypatch.setattr(kind, "save", lambda made: saved.append(made))
    return saved


def test_one_command_saves_both(saved: list[Any]) -> None:
    assert main(["dashboard", "--wandb", "my-team/slr"]) == 0
    assert [(type(made), made.entity, made.project) for made in saved] == [
        (Workspace, "my-team", "slr"),
        (Report, "my-team", "slr"),
    ]


@pytest.mark.parametrize(
    ("project", "problem"),
    [
        ("slr", "--wandb is 'slr', expected ENTITY/PROJECT"),
        ("my-team/srl", "W&B has no project my-team/srl, or this account may not read it"),
    ],
)
def test_a_project_that_is_not_there_is_not_made(
    saved: list[Any], capsys: pytest.CaptureFixture[str], project: str, problem: str
) -> None:
    assert main(["dashboard", "--wandb", project]) == 2
    assert f"error: {problem}" in capsys.readouterr().err
    assert not saved


def test_a_failure_of_wandb_is_one_line(
    saved: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Workspace) -> None:
        raise wandb.Error("no permission")

    monkeypatch.setattr(Workspace, "save", fail)
    assert main(["dashboard", "--wandb", "my-team/slr"]) == 2
    assert "error: W&B does not give my-team/slr: no permission" in capsys.readouterr().err
    assert not saved


def test_without_the_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["dashboard", "--wandb", "my-team/slr"]) == 2
    assert "run pip install '.[dashboard]'" in capsys.readouterr().err
