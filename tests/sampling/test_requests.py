"""Answers to plain requests, against transformers' generate and the token-level function."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from slr.models.loading import ModelPair, load_pair
from slr.sampling.config import SamplingConfig
from slr.sampling.requests import sample

REQUESTS = ["Write a joke about rain.", "Name a river."]


@cache
def pair() -> ModelPair:
    return load_pair("testbed-qwen", dtype=torch.float32)


def answers(*, num_samples: int = 3, seed: int = 0, requests: list[str] = REQUESTS) -> list[list[str]]:
    return sample(pair().instruct_model, pair().tokenizer, requests, num_samples, seed=seed)


def test_a_greedy_answer_is_that_of_generate() -> None:
    model, tokenizer = pair().instruct_model, pair().tokenizer
    greedy = SamplingConfig(temperature=0, max_new_tokens=20)
    found = sample(model, tokenizer, REQUESTS, sampling=greedy)
    for request, [answer] in zip(REQUESTS, found, strict=True):
        chat = [{"role": "user", "content": request}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        assert isinstance(prompt, str)
        tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        assert isinstance(tokens, torch.Tensor)
        output: Any = model.generate(tokens, do_sample=False, max_new_tokens=20)  # pyright: ignore[reportCallIssue]
        assert answer == tokenizer.decode(output[0, tokens.shape[1] :], skip_special_tokens=True)


def test_the_seed_decides_the_answers() -> None:
    assert answers() == answers()
    assert answers(seed=1) != answers()
    assert [len(texts) for texts in answers()] == [3, 3]


def test_a_request_that_is_given_twice_gets_different_answers() -> None:
    first, second = answers(requests=[REQUESTS[0]] * 2)
    assert first != second


def test_one_text_in_place_of_a_list_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"got one text, 'Write a joke about rain\.', as requests"):
        sample(pair().instruct_model, pair().tokenizer, REQUESTS[0])
    with pytest.raises(ValueError, match="there is nothing to answer"):
        answers(requests=[])
