"""Speed of sampling with slr, which batches the samples of several prompts, against ``generate`` prompt by prompt."""

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
"""A method. It takes the pair, the prompts, the number of samples of each, and a seed, and returns a token count."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One repetition of one method.

    Attributes:
        method: name of the method.
        num_tokens: number of tokens of all answers, each up to its end token.
        seconds: wall-clock time in seconds.
    """

    method: str
    num_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second, by which the methods are compared."""
        return self.num_tokens / self.seconds


def writing_requests(number: int) -> list[str]:
    """Choose writing requests evenly over all genres and subjects.

    Raises:
        ValueError: if ``number`` is below 1 or above the number of requests.
    """
    texts = [request.text for genre in get_args(Genre) for request in held_out_writing_requests(genre)]
    if not 1 <= number <= len(texts):
        raise ValueError(f"the number of prompts is {number}, expected 1 to {len(texts)}")
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
    """Sample answers of the instruct model with both methods in turn.

    Args:
        pair: pair whose instruct model is used.
        requests: texts of the prompts.
        num_samples: number of samples of each prompt.
        config: temperature, min-p and largest number of new tokens, for both methods.
        prompts_in_group: number of prompts in one batch of slr.
        repetitions: number of times that each method is timed.

    Returns:
        All repetitions, in the order in which they ran.
    """
    prompts = render_chats(pair.tokenizer, requests)
    methods: dict[str, Draw] = {
        "slr": _draw_in_groups(prompts_in_group, config),
        "generate": _draw_by_generate(config),
    }
    for draw in methods.values():
        # Libraries set themselves up in the first calls, which is not part of either method.
        draw(pair, prompts[:2], num_samples, 0)
    timings = []
    # The methods take turns, so that a slow phase of the machine hits both alike.
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
            # slr decodes its answers too, so decoding belongs to both times.
            pair.tokenizer.batch_decode(answers, skip_special_tokens=True)
            num_tokens += sum(_length(answer, ends) for answer in answers)
        return num_tokens

    return draw


def _length(answer: Sequence[int], ends: set[int]) -> int:
    """Number of tokens up to the end token; the padding behind it does not count."""
    return next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))
