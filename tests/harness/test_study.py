"""A study of a shipped pair, small: complete, resumed to equal records, with differences paired by document."""

from __future__ import annotations

import shutil
from dataclasses import replace
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from slr.crc.choice import selection_of
from slr.crc.study import SMOKE, crc_experiment
from slr.downstream.methods import is_available
from slr.harness import study
from slr.harness.evaluate import HarnessTask
from slr.harness.report import harness_contrasts, harness_summaries
from slr.harness.requests import BuiltRequests
from slr.harness.study import COMPARED, HarnessConfig, harness_experiment
from slr.models.presets import find_pair
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, HarnessAnswers, HarnessScore
from slr.runs.run_experiments import run_experiment

SPEC = find_pair("testbed-llama")
TASKS = tuple(
    HarnessTask(name=name, metrics=(metric,), num_fewshot=0, chat_template=True, num_tokens=1)
    for name, metric in (("testbed_facts", "acc,none"), ("testbed_sums", "exact_match,marked-answer"))
)
EXPERIMENT = harness_experiment(
    "quality", "?", HarnessConfig(tasks=TASKS, batch_size=8, limit=6, max_new_tokens=16), SMOKE
)


@pytest.fixture
def settings(settings_after_search: RunSettings) -> RunSettings:
    return settings_after_search


def run(settings: RunSettings) -> list[AnyRecord]:
    assert not run_experiment(EXPERIMENT, SPEC, settings).failed
    return store_of(EXPERIMENT, settings.output_dir).read()


def scores_of(records: list[AnyRecord]) -> list[HarnessScore]:
    return [record for record in records if isinstance(record, HarnessScore)]


def test_every_model_in_every_task_and_resumed_the_same(settings: RunSettings) -> None:
    records = run(settings)
    search = crc_experiment(SMOKE)
    searched = search.results_in(store_of(search, settings.output_dir).read())
    selection = selection_of(searched, SPEC.name)
    assert selection is not None
    models = [model for model in COMPARED if is_available(model, selection)]
    scores = scores_of(records)
    assert [(s.model, s.task) for s in scores] == [(model, task.name) for model in models for task in TASKS]
    for score in scores:
        assert len(score.document_scores) == 6
        assert score.interval == (selection.interval if score.model == "hybrid" else None)
        assert score.alpha == (selection.soup_alpha if score.model == "soup" else None)
    path = settings.output_dir / "quality.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "".join(lines[1::2]))
    assert without_provenance(scores_of(run(settings))) == without_provenance(scores)
    content = path.read_bytes()
    run(settings)
    assert path.read_bytes() == content


def without_provenance(scores: list[HarnessScore]) -> dict[str, dict[str, Any]]:
    return {score.key: score.model_dump(exclude={"provenance"}) for score in scores}


def test_a_stopped_evaluation_goes_on_at_the_next_chunk(
    settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two chunks of each model's answers, of which every second one is stopped once."""
    whole = scores_of(run(settings))
    output_dir = tmp_path / "stopped"
    output_dir.mkdir()
    shutil.copy(settings.output_dir / "crc_search.jsonl", output_dir)
    settings = replace(settings, output_dir=output_dir)
    monkeypatch.setattr(study, "TOKENS_IN_A_CHUNK", 1)
    answered: list[int] = []
    stops = [True, False] * len(COMPARED)
    make = BuiltRequests.answer

    def that_stops(self: BuiltRequests, *arguments: Any) -> Any:
        answer = make(self, *arguments)

        def answer_chunk(index: int, count: int) -> Any:
            assert count == 2
            if index == 1 and stops.pop(0):
                raise KeyboardInterrupt
            answered.append(index)
            return answer(index, count)

        return answer_chunk

    monkeypatch.setattr(BuiltRequests, "answer", that_stops)
    models = {score.model for score in whole}
    for _ in models:
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    records = run(settings)
    assert answered == [0, 1] * len(models)
    assert without_provenance(scores_of(records)) == without_provenance(whole)
    answers = [record for record in records if isinstance(record, HarnessAnswers)]
    assert [(a.model, a.chunk, a.num_chunks) for a in answers] == [
        (model, chunk, 2) for model in dict.fromkeys(a.model for a in answers) for chunk in (0, 1)
    ]


def test_log_likelihoods_that_are_no_numbers_are_told(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_numbers(*_: Any) -> Any:
        return lambda _index, _count: {"loglikelihood": [(-1.0, True), (nan, False)]}

    monkeypatch.setattr(BuiltRequests, "answer", no_numbers)
    assert run_experiment(EXPERIMENT, SPEC, settings).failed
    said = capsys.readouterr().err
    assert "the model gives log-likelihoods that are no numbers in testbed_facts, testbed_sums" in said


def test_answers_to_other_requests_are_not_scored(
    settings: RunSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    records = run(settings)
    answers = next(record for record in records if isinstance(record, HarnessAnswers))
    path = settings.output_dir / "quality.jsonl"
    lines = [line for line in path.read_text().splitlines(keepends=True) if '"harness_score"' not in line]
    path.write_text("".join(lines).replace(answers.requests, "0" * 12))
    outcome = run_experiment(EXPERIMENT, SPEC, settings)
    assert f"testbed-llama/{answers.model}" in outcome.failed
    said = capsys.readouterr().err
    assert "the answers on record are to other requests of testbed_facts, testbed_sums" in said
    assert "new --output-dir" in said


def test_each_call_of_the_harness_is_a_cell(settings: RunSettings) -> None:
    facts, sums = TASKS
    two_calls = HarnessConfig(
        tasks=(facts, replace(sums, num_fewshot=1)), batch_size=8, limit=2, max_new_tokens=4
    )
    experiment = harness_experiment("quality", "?", two_calls, SMOKE)
    keys = [cell.key for cell in experiment.cells(SPEC)]
    assert keys == [
        f"testbed-llama/{model}/{task.name}{suffix}"
        for task in TASKS
        for model in COMPARED
        for suffix in ("/answers", "")
    ]
    outcome = run_experiment(experiment, SPEC, settings)
    assert not outcome.failed
    # A model that the search did not choose has no records to make.
    assert outcome.cells_done + outcome.cells_run == len(keys)
    assert outcome.cells_run == 2 * len(scores_of(store_of(experiment, settings.output_dir).read()))
    assert [cell.key for cell in EXPERIMENT.cells(SPEC)][1::2] == [
        f"testbed-llama/{model}" for model in COMPARED
    ]


def test_differences_and_the_mirror_are_of_the_records(settings: RunSettings) -> None:
    records = run(settings)
    scores = {(score.model, score.task): score for score in scores_of(records)}
    lines = {(line.score.model, line.score.task): line for line in harness_summaries(records, SPEC.name)}
    assert lines.keys() == scores.keys()
    contrasts = {(c.method, c.reference, c.group): c for c in harness_contrasts(records, SPEC.name)}
    assert {method for method, _, _ in contrasts} == {model for model, _ in scores} - {"instruct"}
    difference = contrasts["base", "instruct", "testbed_facts"].difference
    assert difference is not None
    paired = zip(
        scores["base", "testbed_facts"].document_scores,
        scores["instruct", "testbed_facts"].document_scores,
        strict=True,
    )
    assert difference.mean == pytest.approx(fmean(ours - theirs for ours, theirs in paired))
    assert EXPERIMENT.mirror is not None
    mirror = EXPERIMENT.mirror(records, SPEC.name)
    assert mirror.summary["testbed_facts/base/acc,none"] == scores["base", "testbed_facts"].value
    columns, rows = mirror.tables["scores"]
    assert len(rows) == len(scores)
    assert all(len(row) == len(columns) for row in rows)
