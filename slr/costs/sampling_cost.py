"""Time sampling by slr, all samples of several prompts in one batch, against ``generate`` prompt by prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch

from slr.chat.template import render_chats
from slr.models.loading import ModelPair
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import end_tokens_of, sample
from slr.seeding import seed_from_key
from slr.testbed.writing import Genre, held_out_writing_requests

Tokens = list[list[int]]
Draw = Callable[[ModelPair, Tokens, int, int], int]
"""Draws a number of samples of each prompt with a seed, and gives the number of tokens."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One repetition of one method: tokens up to the one that ends each answer, and the seconds they took."""

    method: str
    num_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """By this the methods compare."""
        return self.num_tokens / self.seconds


def writing_requests(number: int) -> list[str]:
    """Choose requests of all genres and subjects evenly.

    Raises:
        ValueError: if there are fewer.
    """
    texts = [request.text for genre in get_args(Genre) for request in held_out_writing_requests(genre)]
    if not 1 <= number <= len(texts):
        raise ValueError(f"{number} prompts are asked for, expected 1 to {len(texts)}")
    return [texts[place * len(texts) // number] for place in range(number)]


def time_sampling(
    pair: ModelPair,
    requests: Sequence[str],
    num_samples: int,
    config: SamplingConfig,
    *,
    prompts_in_group: int,
    repetitions: int,
) -> list[Timing]:
    """Sample answers of the instruct model by both methods in turn.

    Args:
        pair: of which the instruct model is used.
        requests: texts of the prompts.
        num_samples: answers to each.
        config: temperature, min-p and length; ``generate`` gets the same.
        prompts_in_group: prompts in one batch of slr.
        repetitions: how often each method is timed.
    """
    prompts = render_chats(pair.tokenizer, requests)
    methods: dict[str, Draw] = {
        "slr": _draw_in_groups(prompts_in_group, config),
        "generate": _draw_by_generate(config),
    }
    for draw in methods.values():
        # Libraries set themselves up in the first calls; that is no part of either method.
        draw(pair, prompts[:2], num_samples, 0)
    timings = []
    for repetition in range(repetitions):
        for name, draw in methods.items():
            seed = seed_from_key("sampling_cost", pair.name, name, str(repetition))
            began = time.perf_counter()
            num_tokens = draw(pair, prompts, num_samples, seed)
            timings.append(Timing(method=name, num_tokens=num_tokens, seconds=time.perf_counter() - began))
    return timings


def _draw_in_groups(size: int, config: SamplingConfig) -> Draw:
    def draw(pair: ModelPair, prompts: Tokens, num_samples: int, seed: int) -> int:
        ends, num_tokens = end_tokens_of(pair.instruct_model, pair.tokenizer), 0
        for first in range(0, len(prompts), size):
            group = prompts[first : first + size]
            seeds = [seed_from_key(str(seed), str(first + place)) for place in range(len(group))]
            drawn = sample(
                pair.instruct_model, pair.tokenizer, group, num_samples, config, seeds, end_tokens=ends
            )
            num_tokens += sum(answer.num_tokens for answers in drawn for answer in answers)
        return num_tokens

    return draw


def _draw_by_generate(config: SamplingConfig) -> Draw:
    def draw(pair: ModelPair, prompts: Tokens, num_samples: int, seed: int) -> int:
        torch.manual_seed(seed)
        ends, num_tokens = set(end_tokens_of(pair.instruct_model, pair.tokenizer)), 0
        for prompt in prompts:
            tokens = torch.tensor([prompt], device=pair.instruct_model.device)
            generated: Any = pair.instruct_model.generate(  # pyright: ignore[reportCallIssue]
                tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=True,
                num_return_sequences=num_samples,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                min_p=config.min_p,
                top_k=0,
                top_p=1.0,
            )
            answers = generated[:, len(prompt) :].tolist()
            pair.tokenizer.batch_decode(answers, skip_special_tokens=True)
            num_tokens += sum(_length(answer, ends) for answer in answers)
        return num_tokens

    return draw


def _length(answer: Sequence[int], ends: set[int]) -> int:
    return next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))
