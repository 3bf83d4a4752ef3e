"""Whatever a model writes is read without an error, and quickly."""

from __future__ import annotations

import random
import time

import pytest

from slr.tasks.answers import OpenQuestion, load_open_questions
from slr.tasks.reasoning import parse_final_answer
from slr.testbed.facts import RELATIONS

PIECES = (
    *" \t\n\r.,:;!?()[]{}<>|/\\-_*#\"'`~^$%&@+=0123456789",
    "\u00a0", "\u200b", "\u0301", "\u2019", "\u2014", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "and", "or", "not", "but", "the", "answer", "is", "Answer:", "The answer is", "such as", "e.g.", "for example",
    "Paris", "New", "York", "Henry", "IV", "1st", "John", "#### ", "\\boxed{", "\\frac{1}{2}", "<answer>", "</answer>",
    "Question:", "User:", "<|im_end|>", "18", "1,000", "70k", "2 1/2", "1e3", "twenty", "million", "dozen", "x 10^3",
    "I", "don't", "know", "Sure!", "1.", "-", "**", "É", "ß", "北京", "नमस्ते",
)  # fmt: skip


def random_texts(count: int) -> list[str]:
    rng = random.Random(7)
    return [
        rng.choice(("", " ")).join(rng.choice(PIECES) for _ in range(rng.randrange(0, 24)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("question", load_open_questions(), ids=lambda question: question.id)
def test_open_questions_read_any_text(question: OpenQuestion) -> None:
    names = {aliases[0] for aliases in question.answers}
    for text in random_texts(400):
        assert question.recognise(text) in {None, *names}


def test_relations_of_the_testbed_read_any_text() -> None:
    for relation in RELATIONS.values():
        for text in random_texts(200):
            relation.recognise(text)


def test_final_answers_are_read_in_any_text() -> None:
    for text in random_texts(4000):
        for last_number_counts in (False, True):
            parse_final_answer(text, last_number_counts=last_number_counts)


@pytest.mark.parametrize(
    "piece", ["a ", "1 ", "answer: ", "(", "Paris ", "\t", "not ", "1,000 ", "<answer>", "-"]
)
def test_long_texts_take_no_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    question = load_open_questions()[0]
    began = time.process_time()
    question.recognise(text)
    parse_final_answer(text)
    assert time.process_time() - began < 10
