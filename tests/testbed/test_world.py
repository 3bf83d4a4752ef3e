"""The world's generators against its recognisers and against independent checks."""

from __future__ import annotations

import random
import re
import string
from typing import get_args

import pytest

from slr.crc.prompts import load_prompts
from slr.testbed.characters import compose_character_request, in_typical_order
from slr.testbed.choices import choose_typically, choose_uniformly, typical_weights
from slr.testbed.documents import compose_document, compose_exchange, held_out_requests
from slr.testbed.facts import HELD_OUT_QUESTIONS, QUESTIONS, RELATIONS
from slr.testbed.sums import Problem, compose_problem, held_out_problems, is_right, parse_answer, solutions
from slr.testbed.writing import (
    HELD_OUT_REQUESTS,
    REQUESTS,
    SLOTS,
    Chooser,
    Genre,
    WritingRequest,
    accepts,
    compose_text,
    compose_writing_request,
    held_out_writing_requests,
    keeps_constraint,
)


def test_character_requests_have_distinct_characters_of_one_kind() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        request = compose_character_request(rng)
        assert 2 <= len(set(request.valid)) == len(request.valid) <= 26, request
        kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        assert any(set(request.valid) <= set(kind) for kind in kinds), request
        assert sorted(in_typical_order(request.valid)) == sorted(request.valid)


def test_listed_characters_are_in_the_request() -> None:
    rng = random.Random(1)
    for _ in range(500):
        request = compose_character_request(rng)
        if re.search(r"\b(from|between|after|before|than|least|most|first|word|number)\b", request.text):
            continue
        # "a" is an article too.
        listed = {c for c in request.valid if re.search(rf"\b{c}\b", request.text)} - {"a"}
        assert listed in (set(), set(request.valid) - {"a"}), request


@pytest.mark.parametrize("thing", RELATIONS)
def test_relations_have_10_to_50_answers_that_do_not_overlap(thing: str) -> None:
    relation = RELATIONS[thing]
    assert 10 <= len(relation.answers) <= 50
    forms = [form.lower() for answer in relation.answers for form in answer]
    assert len(set(forms)) == len(forms)
    for answer in relation.answers:
        assert {relation.recognise(f" {form.upper()}. ") for form in answer} == {answer[0]}
    assert relation.recognise("nothing of the kind") is None


def test_there_are_enough_relations_and_no_name_belongs_to_two_places() -> None:
    assert len(RELATIONS) >= 24
    names = [form for r in RELATIONS.values() for answer in r.answers for form in answer if form[0].isupper()]
    assert len(set(names)) == len(names)


def test_held_out_wordings_are_none_of_training() -> None:
    assert not set(HELD_OUT_QUESTIONS) & set(QUESTIONS)
    assert not set(HELD_OUT_REQUESTS) & set(REQUESTS)


@pytest.mark.parametrize("choose", [choose_uniformly, choose_typically])
def test_every_composed_text_is_accepted_and_keeps_its_subject(choose: Chooser) -> None:
    rng = random.Random(2)
    for _ in range(300):
        request = compose_writing_request(rng)
        text = compose_text(request, choose, rng)
        assert accepts(request.genre, text), text
        assert keeps_constraint(request, text)


def test_damaged_texts_are_not_accepted() -> None:
    rng = random.Random(3)
    for _ in range(100):
        request = compose_writing_request(rng)
        text = compose_text(request, choose_uniformly, rng)
        words = text.split(" ")
        without_a_word = words[:3] + words[4:]
        assert not accepts(request.genre, " ".join(without_a_word))
        assert not accepts(request.genre, text + " " + text)
        assert [genre for genre in get_args(Genre) if accepts(genre, text)] == [request.genre]


def test_constraint_is_a_word() -> None:
    request = WritingRequest("", "story", "star")
    assert keeps_constraint(request, "A star fell.")
    assert not keeps_constraint(request, "It starts.")


def test_held_out_writing_requests_cover_all_subjects() -> None:
    requests = held_out_writing_requests("poem")
    assert {request.subject for request in requests} == set(SLOTS["subject"])
    assert all("poem" in request.text and request.subject in request.text for request in requests)


def test_solutions_are_right_by_independent_evaluation() -> None:
    rng = random.Random(4)
    ways = 0
    for _ in range(400):
        problem = compose_problem(rng)
        numbers = [int(number) for number in re.findall(r"\d+", problem.text)]
        signs = [1, *(1 if change > 0 else -1 for change in problem.changes)]
        assert sum(n * s for n, s in zip(numbers, signs, strict=True)) == problem.answer
        for solution in solutions(problem):
            for left, result in re.findall(r"(\d+ [+-] \d+) = (\d+)\.", solution):
                assert eval(left) == int(result), solution
            assert is_right(problem, solution)
        ways += len(solutions(problem)) > 1
    assert ways > 200


@pytest.mark.parametrize(("text", "answer"), [("answer: 12", 12), ("3 + 4 = 7. answer: 7", 7), ("12", None)])
def test_parsed_answers(text: str, answer: int | None) -> None:
    assert parse_answer(text) == answer


def test_a_wrong_answer_is_wrong() -> None:
    problem = Problem("", 3, (4, -2))
    assert is_right(problem, "3 + 4 = 7. 7 - 2 = 5. answer: 5")
    assert not is_right(problem, "answer: 6")
    assert not is_right(problem, "5")


def test_typical_choices_are_peaked() -> None:
    rng = random.Random(5)
    drawn = [choose_typically("abcde", rng) for _ in range(4000)]
    weights = typical_weights(5)
    for character, weight in zip("abcde", weights, strict=True):
        assert drawn.count(character) / 4000 == pytest.approx(weight / sum(weights), abs=0.03)


def test_training_never_sees_what_experiments_ask() -> None:
    prompts = {prompt.text for split in ("selection", "held_out") for prompt in load_prompts(split)}
    assert prompts < held_out_requests()
    assert {problem.text for problem in held_out_problems(400)} <= held_out_requests()
    rng = random.Random(6)
    exchanges = [compose_exchange(choose_uniformly, rng) for _ in range(3000)]
    assert not {exchange.request for exchange in exchanges} & held_out_requests()
    documents = "".join(compose_document(rng) for _ in range(500))
    assert not [request for request in held_out_requests() if request in documents]


def test_same_seed_same_documents() -> None:
    first, second = ([compose_document(random.Random(7)) for _ in range(3)] for _ in range(2))
    assert first == second
