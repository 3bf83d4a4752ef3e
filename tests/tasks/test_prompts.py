from __future__ import annotations

from typing import Literal

import pytest

from slr.downstream.task import load_task
from slr.tasks.answers import load_open_questions
from slr.tasks.prompts import question_key

NUM_CLOSED = 28


@pytest.mark.parametrize("source", ["offline", "hub"])
def test_closed_questions_come_first(source: Literal["offline", "hub"]) -> None:
    prompts = load_task("open_qa", source, 40)
    assert [prompt.group for prompt in prompts] == ["closed"] * NUM_CLOSED + ["open"] * (40 - NUM_CLOSED)
    assert {prompt.group for prompt in load_task("open_qa", source, NUM_CLOSED)} == {"closed"}
    assert {prompt.id for prompt in prompts} == {question.id for question in load_open_questions()}


def test_a_small_count_is_the_start_of_a_large_one() -> None:
    assert load_task("open_qa", "offline", 7) == load_task("open_qa", "offline", 40)[:7]


def test_the_group_agrees_with_the_key() -> None:
    for prompt in load_task("open_qa", "offline", 40):
        assert question_key("offline", prompt.id).is_closed == (prompt.group == "closed")


def test_every_question_of_the_testbed_is_closed() -> None:
    for prompt in load_task("open_qa", "testbed", 24):
        assert prompt.group == "closed"
        assert question_key("testbed", prompt.id).is_closed


@pytest.mark.parametrize(
    ("prompt_id", "text", "expected"),
    [
        ("color-1", "gray", "grey"),
        ("color-2", " Grey.\nred", "grey"),
        ("tool-1", "ax", "axe"),
        ("color-1", "light blue", None),
        ("color-1", "blue and red", None),
        ("color-3", "", None),
        ("animal-1", "hot dog", None),
    ],
)
def test_answers_of_the_testbed(prompt_id: str, text: str, expected: str | None) -> None:
    assert question_key("testbed", prompt_id).recognise(text) == expected
