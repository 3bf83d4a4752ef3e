"""Training prompts share nothing with any experiment, and their programs judge answers rightly."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import resources

import pytest

from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.downstream.task import load_task
from slr.laptop.post_training.few_shot import SHOTS
from slr.laptop.post_training.requests.acceptance import (
    Accepts,
    answer_key,
    exactly,
    list_of,
    number,
    one_of,
    text_about,
)
from slr.laptop.post_training.requests.prompts import SUBJECTS, load_kinds, training_prompts
from slr.tasks.answers import load_open_questions, normalise
from slr.tasks.creative_prompts import GENRES, load_creative_prompts
from slr.tasks.reasoning import NUM_HELD_OUT_PROBLEMS
from slr.testbed.facts import RELATIONS
from slr.vocabulary import Source, TaskName

RUN_OF_WORDS = 5
"""A prompt that shares so many words in a row with a training request counts as seen in training."""

TASKS: tuple[tuple[TaskName, Source, int], ...] = (
    ("creative_writing", "offline", 1000),
    ("creative_writing", "hub", 1000),
    ("open_qa", "offline", 1000),
    ("reasoning", "offline", 1000),
    ("creative_writing", "testbed", 1000),
    ("open_qa", "testbed", 1000),
    ("reasoning", "testbed", NUM_HELD_OUT_PROBLEMS),
)
"""All that there are, where there are fewer than asked for."""

PROMPTS = training_prompts()


def training_texts() -> list[str]:
    """Everything that training reads or asks: requests, their numbered forms, and the shots."""
    texts = [prompt.request for prompt in PROMPTS]
    texts += [prompt.numbered_request for prompt in PROMPTS if prompt.numbered_request is not None]
    return texts + [text for shots in SHOTS.values() for shot in shots for text in shot]


def experiment_texts() -> list[str]:
    """The prompts of every experiment, and the questions and choices of every lm-eval document that ships."""
    texts = [prompt.text for prompt_set in PROMPT_SETS for prompt in load_prompts(prompt_set)]
    texts += [prompt.text for task, source, count in TASKS for prompt in load_task(task, source, count)]
    documents = sorted((resources.files("slr.harness") / "tasks").iterdir(), key=str)
    rows = [
        json.loads(line)
        for path in documents
        if path.name.endswith(".jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return texts + [row.get("question") or row["request"] for row in rows]


def runs_of_words(texts: list[str]) -> set[tuple[str, ...]]:
    """All runs of five words in a row."""
    runs = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        runs |= {tuple(words[i : i + RUN_OF_WORDS]) for i in range(len(words) - RUN_OF_WORDS + 1)}
    return runs


def test_no_training_request_shares_wording_with_a_prompt_of_an_experiment() -> None:
    prompts = experiment_texts()
    assert len(prompts) > 80 + 300 + 40 + 100
    assert not runs_of_words(training_texts()) & runs_of_words(prompts)


def test_the_comparison_would_notice() -> None:
    prompts = experiment_texts()
    assert all(runs_of_words([f"Now {prompt.lower()}"]) & runs_of_words(prompts) for prompt in prompts[:80])


def test_nothing_asks_for_a_character_or_for_chance() -> None:
    forbidden = {
        "random",
        "randomly",
        "letter",
        "digit",
        "character",
        "vowel",
        "consonant",
        "chance",
        "lottery",
    }
    forbidden |= {"story", "poem", "joke"}
    for text in training_texts():
        assert not forbidden & set(re.findall(r"\w+", text.lower())), text


def test_no_kind_of_thing_is_asked_for_in_an_experiment() -> None:
    questions = [f" {normalise(question.text)} " for question in load_open_questions()]
    relations = {name for relation in RELATIONS.values() for name in (relation.thing, relation.things)}
    for kind in load_kinds():
        for name in (kind.thing, kind.things):
            assert name not in relations
            assert not [question for question in questions if f" {name} " in question]


def test_kinds_share_few_answers_with_any_open_question() -> None:
    for question in load_open_questions():
        names = {normalise(alias) for aliases in question.answers for alias in aliases}
        for kind in load_kinds():
            assert len(names & set(kind.members)) <= 1, (question.id, kind.thing)


def test_no_subject_of_writing_is_one_of_creative_writing() -> None:
    subjects = {prompt.subject for genre in GENRES for prompt in load_creative_prompts(genre)}
    ours = {re.sub(r"^(?:a|an|the) ", "", subject) for subject in SUBJECTS}
    assert not ours & subjects


def test_ids_and_requests_are_different() -> None:
    assert len({prompt.id for prompt in PROMPTS}) == len(PROMPTS)
    repeated = [text for text, count in Counter(prompt.request for prompt in PROMPTS).items() if count > 1]
    assert not repeated


def test_a_tenth_of_the_kinds_is_for_development_and_shares_no_request_with_training() -> None:
    kinds = {prompt.id.rsplit("/", 1)[0]: prompt.is_dev for prompt in PROMPTS}
    assert 0.07 < sum(kinds.values()) / len(kinds) < 0.12
    families = {prompt.family for prompt in PROMPTS if prompt.is_dev}
    assert families == {prompt.family for prompt in PROMPTS} - {"longer_writing"}
    # A kind of thing is for development in all families that name things.
    naming = {prompt.id.split("/")[1] for prompt in PROMPTS if prompt.family == "naming" and prompt.is_dev}
    picking = {prompt.id.split("/")[1] for prompt in PROMPTS if prompt.family == "picking" and prompt.is_dev}
    assert naming == picking


def test_shots_are_accepted_by_the_programs_of_their_family() -> None:
    """So a model that follows the shots gives answers of the right form."""
    assert SHOTS.keys() == {prompt.family for prompt in PROMPTS}
    assert text_about("a garden shed")(dict(SHOTS["writing"])["Describe a garden shed in one sentence."])
    for _, answer in SHOTS["longer_writing"]:
        assert len(re.findall(r"[.!?](?:\s|$)", answer)) in (2, 3)
    assert not {request for shots in SHOTS.values() for request, _ in shots} & {
        prompt.request for prompt in PROMPTS
    }


@pytest.mark.parametrize(
    ("answer", "key"), [("A carrot.", "carrot"), ("the Sun!", "sun"), ("An", "an"), (' "Tea" ', "tea")]
)
def test_answers_that_count_as_the_same(answer: str, key: str) -> None:
    assert answer_key(answer) == key


ACCEPTED = [
    (one_of(["carrot", "sweet potato"]), ["Carrots", "a carrot.", "Sweet potatos"], ["car", "carrot, pea", ""]),
    (one_of(["yes"]), ["yes", "Yes.", "yes!"], ["no", "yes and no", "yes\nno"]),
    (one_of(["dress"]), ["dress", "the dress"], ["dres"]),
    (exactly("(lamp)"), ["(lamp)", " (lamp) "], ["lamp", "(Lamp)"]),
    (number(7), ["7", "7.", "3 + 4 = 7", "10 - 3 = 7"], ["17", "77", "7 apples", "seven", "7 = 3 + 4"]),
    (list_of(3), ["a, b, c", "old car, tent, a map"], ["a, b", "a, b, c, d", "a, b, b", "a, , c", "a,\nb, c"]),
    (
        text_about("muddy boots"),
        ["Please leave your muddy boots outside.", "My boot is full of mud, sadly!"],
        ["Please leave them outside.", "Boots!", "Boots boots boots boots boots.", "Leave your boots outside"],
    ),
    (text_about("cold tea", end="?"), ["Do you drink cold tea at home?"], ["I drink cold tea at home."]),
    (
        text_about("cold tea", range(2, 4)),
        ["Cold tea is fine. Add a lemon to it."],
        ["Cold tea is fine.", "Cold tea. Is. Really. Fine with me."],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("accepts", "right", "wrong"), ACCEPTED)
def test_programs_judge_hand_made_answers(accepts: Accepts, right: list[str], wrong: list[str]) -> None:
    assert [answer for answer in right if not accepts(answer)] == []
    assert [answer for answer in wrong if accepts(answer)] == []
