"""The study of a shipped pair in its smoke size, chosen by one rule after the other in one directory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from slr.crc.choice import chosen_by_search, selection_of
from slr.crc.study import SMOKE, CrcStudyConfig, crc_experiment
from slr.models.presets import find_pair
from slr.runs.experiment import Experiment, RunSettings, store_of
from slr.runs.records import AnyRecord, Configuration, CrcScore, CrcSelection
from slr.runs.run_experiments import run_experiment

SPEC = find_pair("testbed-llama")
LOWER = dataclasses.replace(SMOKE, min_validity_ratio=0.6)
CAREFUL = dataclasses.replace(SMOKE, min_validity_ratio=0.6, margin=True)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of a search by the paper's rule; not to be altered."""
    output_dir = tmp_path_factory.mktemp("searched")
    run_experiment(crc_experiment(SMOKE), SPEC, RunSettings(output_dir=output_dir))
    return output_dir


@pytest.fixture
def settings(searched: Path, tmp_path: Path) -> RunSettings:
    (tmp_path / "crc_search.jsonl").write_bytes((searched / "crc_search.jsonl").read_bytes())
    return RunSettings(output_dir=tmp_path)


def records_in(settings: RunSettings) -> list[AnyRecord]:
    return store_of(crc_experiment(SMOKE), settings.output_dir).read()


def choice_by(config: CrcStudyConfig, settings: RunSettings) -> CrcSelection:
    """What an experiment that builds on that search finds."""
    found = selection_of(crc_experiment(config).results_in(records_in(settings)), SPEC.name)
    assert found is not None
    return found


def test_another_rule_chooses_anew_out_of_the_same_scores(settings: RunSettings) -> None:
    before = records_in(settings)
    for config in (LOWER, CAREFUL):
        outcome = run_experiment(crc_experiment(config), SPEC, settings)
        assert outcome.cells_run <= 2
        assert (outcome.cells_done + outcome.cells_run, outcome.failed) == (6, [])
    after = records_in(settings)
    assert after[: len(before)] == before
    made = after[len(before) :]
    assert all(
        isinstance(r, CrcSelection) or (isinstance(r, CrcScore) and r.prompt_set == "held_out") for r in made
    )
    choices = [r for r in after if isinstance(r, CrcSelection)]
    assert [(c.min_validity_ratio, c.margin) for c in choices] == [(0.9, False), (0.6, False), (0.6, True)]
    assert choices[0].interval != choices[1].interval
    held_out = {
        (r.interval, r.alpha) for r in after if isinstance(r, CrcScore) and r.prompt_set == "held_out"
    }
    for choice in choices:
        assert {(choice.interval, None), (None, choice.soup_alpha)} <= held_out
    outcome = run_experiment(crc_experiment(SMOKE), SPEC, settings)
    assert outcome.cells_run == 0
    assert records_in(settings) == after


def test_what_builds_on_a_search_finds_the_choice_by_its_own_rule(settings: RunSettings) -> None:
    run_experiment(crc_experiment(LOWER), SPEC, settings)
    first, lower = choice_by(SMOKE, settings), choice_by(LOWER, settings)
    assert first.interval != lower.interval
    for config, choice in ((SMOKE, first), (LOWER, lower)):
        builds_on = crc_experiment(config)
        experiment = Experiment(
            name="next",
            question="?",
            config=SMOKE,
            cells=lambda _: [],
            job_type="test",
            builds_on=builds_on,
            inputs=chosen_by_search,
        )
        earlier = builds_on.results_in(records_in(settings))
        inputs = settings.configuration(experiment, SPEC, earlier).inputs
        assert inputs == {"chosen interval": list(choice.interval or ()), "chosen soup": choice.soup_alpha}


def test_with_a_margin_the_choice_is_more_careful(settings: RunSettings) -> None:
    """Of few prompts few ranges are surely valid enough, and the chosen one restores less."""
    for config in (LOWER, CAREFUL):
        run_experiment(crc_experiment(config), SPEC, settings)
    lower, careful = choice_by(LOWER, settings), choice_by(CAREFUL, settings)
    scores = {
        r.interval: r for r in records_in(settings) if isinstance(r, CrcScore) and r.prompt_set == "selection"
    }
    assert lower.interval is not None
    assert careful.interval is not None
    validity_of = {interval: sum(v or 0.0 for v in score.validity) for interval, score in scores.items()}
    assert validity_of[careful.interval] > validity_of[lower.interval]


def test_records_from_before_there_was_a_margin_are_gone_on_from(settings: RunSettings) -> None:
    """They have no such field, and the hash of a configuration that counted the ratio."""
    path = settings.output_dir / "crc_search.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["provenance"]["config_hash"] = "0123456789ab"
        row.get("settings", row).pop("margin", None)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_experiment(crc_experiment(SMOKE), SPEC, settings).cells_run == 0
    assert choice_by(SMOKE, settings).key == f"{SPEC.name}/crc_selection"
    assert 1 <= run_experiment(crc_experiment(CAREFUL), SPEC, settings).cells_run <= 2


def test_other_scores_are_still_refused(settings: RunSettings) -> None:
    other = dataclasses.replace(LOWER, soup_alphas=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"another configuration.*soup_alphas was") as error:
        run_experiment(crc_experiment(other), SPEC, settings)
    assert "min_validity_ratio" not in str(error.value)
    assert len([r for r in records_in(settings) if isinstance(r, Configuration)]) == 1
