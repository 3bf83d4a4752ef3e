"""Prompts of the downstream tasks, for real models and for the testbed's world, and the keys to check answers.

A prompt's id leads to everything here, so records can be scored without a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from slr.tasks.answers import OpenQuestion, load_open_questions
from slr.tasks.creative_prompts import GENRES, Genre, load_creative_prompts
from slr.tasks.reasoning import comparison_problems, gsm8k_ids, gsm8k_problems, testbed_problems
from slr.testbed.facts import HELD_OUT_QUESTIONS, RELATIONS, Relation
from slr.testbed.writing import WritingRequest, accepts, held_out_writing_requests, keeps_constraint
from slr.vocabulary import Source

SHORT_FORMS: dict[Genre, str] = {
    "poem": "Write a poem that has two lines.",
    "story": "Tell a story in two sentences.",
    "joke": "Tell a joke in one sentence.",
}
"""What models of less than a billion parameters are asked to write."""


@dataclass(frozen=True, kw_only=True)
class TaskPrompt:
    """A request of a task.

    Attributes:
        id: unique name within its task and source.
        group: what results are gathered by: a genre, or "closed" or "open" for a question.
        text: the request.
        things: what a testbed question asks for, in the plural; None elsewhere.
        expected: the right answer of a reasoning problem; None elsewhere.
    """

    id: str
    group: str
    text: str
    things: str | None = None
    expected: str | None = None


def creative_requests(source: Source, count: int) -> tuple[TaskPrompt, ...]:
    """Make the first requests for creative writing, this number of each genre."""
    load = {"testbed": _testbed_writing, "offline": _short_writing, "hub": _creative_prompts}[source]
    return load(count)


def open_questions(source: Source, count: int) -> tuple[TaskPrompt, ...]:
    """Make the first open questions.

    Closed questions come first, so that a small count has closed ones alone. Only a closed list holds every
    right answer, so only there do precision and coverage mean what they say. On an open list a right answer
    may count as wrong.
    """
    return _testbed_questions(count) if source == "testbed" else _open_questions(count)


def reasoning_problems(source: Source, count: int) -> tuple[TaskPrompt, ...]:
    """Make the first reasoning problems, each with its right answer."""
    load = {"testbed": testbed_problems, "offline": comparison_problems, "hub": gsm8k_problems}[source]
    return tuple(TaskPrompt(id=p.id, group="reasoning", text=p.text, expected=p.answer) for p in load(count))


def reasoning_ids(source: Source, count: int) -> tuple[str, ...]:
    """The ids of the first reasoning problems, known without a download."""
    return gsm8k_ids(count) if source == "hub" else tuple(p.id for p in reasoning_problems(source, count))


def _creative_prompts(per_genre: int) -> tuple[TaskPrompt, ...]:
    return tuple(
        TaskPrompt(id=prompt.id, group=genre, text=prompt.text)
        for genre in GENRES
        for prompt in load_creative_prompts(genre)[:per_genre]
    )


def _short_writing(per_genre: int) -> tuple[TaskPrompt, ...]:
    """Requests for one or two sentences about the subjects of the creative-writing prompts."""
    return tuple(
        TaskPrompt(
            id=f"short-{prompt.id}", group=genre, text=f"{SHORT_FORMS[genre]} Subject: {prompt.subject}."
        )
        for genre in GENRES
        for prompt in load_creative_prompts(genre)[:per_genre]
    )


def _open_questions(count: int) -> tuple[TaskPrompt, ...]:
    closed_first = sorted(load_open_questions(), key=lambda question: not question.is_closed)
    return tuple(
        TaskPrompt(id=question.id, group="closed" if question.is_closed else "open", text=question.text)
        for question in closed_first[:count]
    )


def _testbed_writing(per_genre: int) -> tuple[TaskPrompt, ...]:
    return tuple(
        TaskPrompt(id=id_, group=genre, text=request.text)
        for genre in GENRES
        for id_, request in list(testbed_writing_requests(genre).items())[:per_genre]
    )


def _testbed_questions(count: int) -> tuple[TaskPrompt, ...]:
    prompts = [
        TaskPrompt(
            id=id_,
            group="closed",
            text=wording.format(thing=relation.thing, things=relation.things),
            things=relation.things,
        )
        for id_, (wording, relation) in _testbed_wordings().items()
    ]
    return tuple(prompts[:count])


@cache
def _testbed_wordings() -> dict[str, tuple[str, Relation]]:
    """By prompt id the wording of a question about the world, and the relation that it asks for."""
    return {
        f"{relation.thing}-{number}": (wording, relation)
        for number, wording in enumerate(HELD_OUT_QUESTIONS, start=1)
        for relation in RELATIONS.values()
    }


@cache
def testbed_writing_requests(genre: str) -> dict[str, WritingRequest]:
    """Make the world's held-out writing requests of a genre, by prompt id."""
    assert genre in GENRES
    return {
        f"{genre}-{number:02}": request
        for number, request in enumerate(held_out_writing_requests(genre), start=1)
    }


@cache
def _all_testbed_writing_requests() -> dict[str, WritingRequest]:
    return {id_: request for genre in GENRES for id_, request in testbed_writing_requests(genre).items()}


def is_good_testbed_writing(prompt_id: str, text: str) -> bool:
    """Whether the world's grammar accepts the text and the text keeps to the subject asked for."""
    request = _all_testbed_writing_requests()[prompt_id]
    return accepts(request.genre, text) and keeps_constraint(request, text)


@dataclass(frozen=True)
class QuestionKey:
    """The right answers of an open question: how many there are, and which one a text gives."""

    question: OpenQuestion | Relation

    @property
    def num_right(self) -> int:
        """Number of right answers."""
        return len(self.question.answers)

    @property
    def is_closed(self) -> bool:
        """Whether the key holds every right answer; a relation of the testbed's world always does."""
        return not isinstance(self.question, OpenQuestion) or self.question.is_closed

    def recognise(self, text: str) -> str | None:
        """Find the canonical right answer that a sample gives; None if it gives none."""
        if isinstance(self.question, OpenQuestion):
            return self.question.recognise(text)
        lines = text.strip().splitlines()
        return self.question.recognise(lines[0]) if lines else None


def question_key(source: Source, prompt_id: str) -> QuestionKey:
    """Find the key of an open question by its prompt's id."""
    if source == "testbed":
        _, relation = _testbed_wordings()[prompt_id]
        return QuestionKey(relation)
    return QuestionKey(next(q for q in load_open_questions() if q.id == prompt_id))
