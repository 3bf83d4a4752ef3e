"""Few-shot documents: their form, where answers end, and that no example gives an answer away."""

from __future__ import annotations

from typing import get_args

import pytest

from slr.chat.few_shot import BLANK_LINE, FewShotDocument, blank_tokens_with
from slr.crc.prompts import FEW_SHOT, PROMPT_SETS, load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.downstream.task import load_task
from slr.models.loading import load_spec
from slr.models.presets import PRESETS
from slr.models.reference import PairSpec
from slr.tasks.answers import load_open_questions
from slr.tasks.few_shot import few_shot_document
from slr.testbed.facts import RELATIONS
from slr.vocabulary import Source, TaskName
from tests.tiny_models import make_tokenizer

DOCUMENT = FewShotDocument((("One?", "1"), ("Two?", "2")))
SOURCES: tuple[Source, ...] = ("testbed", "offline")


def test_examples_and_the_request_follow_each_other() -> None:
    assert DOCUMENT.text("Three?") == "One?\n1\n\nTwo?\n2\n\nThree?\n"
    tokenizer = make_tokenizer()
    (token_ids,) = DOCUMENT.render(tokenizer, ["Three?"])
    assert tokenizer.decode(token_ids) == "<|bos|>" + DOCUMENT.text("Three?")


@pytest.mark.parametrize(
    ("stop", "text", "expected"),
    [
        ("\n", " four\n\nFive?\n5", ("four", True)),
        ("\n", "\nfour\n", ("four", True)),
        ("\n", "four", ("four", False)),
        ("\n", "", ("", False)),
        (BLANK_LINE, "a line\nanother \n\nFive?", ("a line\nanother", True)),
        (BLANK_LINE, "a line\nanother\n", ("a line\nanother", False)),
    ],
)
def test_an_answer_is_what_stands_before_the_stop(stop: str, text: str, expected: tuple[str, bool]) -> None:
    assert FewShotDocument((), stop).answer_in(text) == expected


def test_only_white_space_ends_an_answer_by_itself() -> None:
    tokenizer = make_tokenizer()
    (end,) = DOCUMENT.end_tokens(tokenizer)
    assert tokenizer.decode([end]) == "\n"
    assert FewShotDocument((), BLANK_LINE).end_tokens(tokenizer) == []
    assert blank_tokens_with(tokenizer, "a") == []


@pytest.mark.parametrize("task", get_args(TaskName))
@pytest.mark.parametrize("source", SOURCES)
def test_no_example_is_a_request_of_an_experiment(task: TaskName, source: Source) -> None:
    asked = {prompt.text for other in get_args(TaskName) for prompt in load_task(other, source, 100)}
    asked |= {prompt.text for prompt_set in PROMPT_SETS for prompt in load_prompts(prompt_set)}
    examples = {request for request, _ in few_shot_document(task, source).shots}
    assert examples
    assert not examples & asked


def test_no_example_answers_an_open_question() -> None:
    for _, answer in few_shot_document("open_qa", "offline").shots:
        assert not [q.id for q in load_open_questions() if q.recognise(answer) is not None]
    for _, answer in few_shot_document("open_qa", "testbed").shots:
        assert not [name for name, relation in RELATIONS.items() if relation.recognise(answer) is not None]


def test_crc_examples_are_valid_and_none_of_the_prompts() -> None:
    prompts = {prompt.text for prompt_set in PROMPT_SETS for prompt in load_prompts(prompt_set)}
    for request, answer in FEW_SHOT.shots:
        assert request not in prompts
        assert len(answer) == 1


@pytest.mark.parametrize("spec", PRESETS["testbed"].pairs, ids=lambda spec: spec.name)
def test_the_testbeds_base_models_understand_the_document(spec: PairSpec) -> None:
    """A document that the model does not know would give valid characters hardly any probability."""
    pair = load_spec(spec)
    prompts = load_prompts("held_out")
    document = score_model(pair.base_model, encode_prompts(prompts, pair.tokenizer, render=FEW_SHOT.render))
    template = score_model(pair.base_model, encode_prompts(prompts, pair.tokenizer))
    assert document.mean_validity > 0.8 * template.mean_validity
    assert (document.mean_diversity or 0) > 0.9
