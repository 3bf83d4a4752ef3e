"""Training requests are well formed, and none is a prompt of an experiment."""

from __future__ import annotations

import random
import re

from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.laptop.training_data import (
    CHARACTER_WORDINGS,
    THINGS,
    compose_choice,
    compose_request,
    writing_requests,
)
from slr.tasks.prompts import load_task
from slr.vocabulary import Source, TaskName

RUN_OF_WORDS = 5
"""A prompt that shares so many words in a row with a training request counts as seen in training."""


def training_texts() -> list[str]:
    rng = random.Random(1)
    return [compose_request(rng).text for _ in range(20_000)] + [
        request.text for request in writing_requests()
    ]


def runs_of_words(texts: list[str]) -> set[tuple[str, ...]]:
    runs = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        runs |= {tuple(words[i : i + RUN_OF_WORDS]) for i in range(len(words) - RUN_OF_WORDS + 1)}
    return runs


def without_characters(runs: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Runs of the listed characters themselves, such as ``a, b, c, d, e``, are no wording."""
    return {run for run in runs if sum(len(word) > 1 for word in run) >= 3}


def test_no_training_request_shares_wording_with_a_prompt_of_an_experiment() -> None:
    prompts = [prompt.text for prompt_set in PROMPT_SETS for prompt in load_prompts(prompt_set)]
    tasks: tuple[tuple[TaskName, Source], ...] = (
        ("creative_writing", "offline"),
        ("open_qa", "offline"),
        ("reasoning", "offline"),
    )
    prompts += [prompt.text for task, source in tasks for prompt in load_task(task, source, 1000)]
    assert len(prompts) > 80 + 300 + 40
    shared = without_characters(runs_of_words(training_texts()) & runs_of_words(prompts))
    assert not shared


def test_the_comparison_would_notice() -> None:
    prompts = [prompt.text for prompt in load_prompts("selection")]
    assert without_characters(runs_of_words(["Now " + prompts[3].lower()]) & runs_of_words(prompts))


def test_every_request_is_complete() -> None:
    rng = random.Random(2)
    for _ in range(5000):
        request = compose_request(rng)
        assert request.answers
        assert "{" not in request.text
        assert all(request.answers)


def test_choices_have_at_least_two_distinct_answers() -> None:
    rng = random.Random(3)
    for _ in range(5000):
        request = compose_choice(rng)
        assert len(set(request.answers)) == len(request.answers) >= 2


def test_things_are_distinct_and_wordings_name_the_set() -> None:
    assert all(len(set(answers)) == len(answers) for answers in THINGS.values())
    assert all("{options}" in wording for wording in CHARACTER_WORDINGS)


def test_requests_follow_from_the_seed() -> None:
    first, second = random.Random(4), random.Random(4)
    assert [compose_request(first) for _ in range(50)] == [compose_request(second) for _ in range(50)]
