"""The form of question and reply, and a study of open questions on a local server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slr.analysis.load_results import load_results
from slr.analysis.tables.judge import canonicaliser
from slr.judging.canonicaliser import (
    CanonicaliserConfig,
    canonical_request,
    canonicaliser_experiment,
    parse_canonical,
)
from slr.judging.chat_endpoint import ChatModel
from slr.runs.records import CanonicalAnswers
from slr.statistics.uncertainty import Estimate
from slr.tasks.answers import load_open_questions
from slr.vocabulary import ComparedModel
from tests.judging.chat_server import Answer, chat_server, completion
from tests.judging.recorded import earlier, run, samples, write

QUESTION = load_open_questions()[0]
RIGHT, OTHER = QUESTION.answers[0][0], QUESTION.answers[1][0]
TEXTS: dict[ComparedModel, tuple[str, ...]] = {
    "instruct": (RIGHT, "the first of them", "the first of them", "xyzzy"),
    "hybrid": (RIGHT, "the second of them", "something odd", ""),
}


def study():
    config = CanonicaliserConfig(model=ChatModel.from_environment("SLR_JUDGE"))
    return canonicaliser_experiment("canonicalise", "?", config, earlier("open_qa"), "SLR_JUDGE")


def reader(body: dict[str, Any], _: int) -> Answer:
    answer = json.loads(body["messages"][1]["content"])["answer"]
    meant = {"the first of them": RIGHT, "the second of them": f" {OTHER}\n", "xyzzy": "NONE"}
    return completion(meant.get(answer, "That must be a joke."))


@pytest.fixture
def answered(tmp_path: Path, use_server: Callable[..., None]) -> Path:
    """A results directory after the study; no answer was asked about twice."""
    write(
        tmp_path,
        [samples("open_qa", method, QUESTION.id, "open_qa", texts) for method, texts in TEXTS.items()],
    )
    with chat_server(reader) as server:
        use_server(server)
        run(study(), tmp_path)
        assert len(server.bodies) == 4
        run(study(), tmp_path)
        assert len(server.bodies) == 4
    return tmp_path


def test_only_what_is_listed_counts() -> None:
    names = ["Chad", "Niger"]
    asked = json.loads(canonical_request("Name a country.", names, "Tchad").user)
    assert asked == {"question": "Name a country.", "right answers": names, "answer": "Tchad"}
    assert parse_canonical(" Chad\n", names) == "Chad"
    assert parse_canonical("NONE", names) == "NONE"
    for reply in ("", "chad", "Chad.", '"Chad"', "none", "Chad or Niger", "The answer is Chad", "Nigeria"):
        assert parse_canonical(reply, names) is None


def test_what_the_rules_recognise_is_not_asked_about(answered: Path) -> None:
    hybrid, instruct = load_results(answered).canonical_answers
    assert isinstance(instruct, CanonicalAnswers)
    assert instruct.meant == (None, RIGHT, RIGHT, None)
    assert (instruct.num_asked, instruct.num_unusable) == (3, 0)
    assert hybrid.meant == (None, OTHER, None, None)
    assert (hybrid.num_asked, hybrid.num_unusable) == (2, 1)


def test_the_table_has_both_ways(answered: Path) -> None:
    table = canonicaliser(load_results(answered))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    means = [[cell.mean for cell in row.values() if isinstance(cell, Estimate)] for row in rows]
    share = 1 / QUESTION.num_right
    # precision by rules and with it, coverage by rules and with it, recognised beyond the rules
    assert means[0] == pytest.approx([0.25, 0.75, share, share, 0.5])
    assert means[1] == pytest.approx([0.25, 0.5, share, 2 * share, 0.25])
    assert [(row["asked about"], row["replies not usable"]) for row in rows] == [(3, 0.0), (2, 0.5)]
