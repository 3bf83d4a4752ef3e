"""Stage 2: supervised fine-tuning on the start model's own accepted answers, in the chat template, one epoch."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slr.laptop.post_training.optimisation import Measured, optimise
from slr.laptop.post_training.policy import Policy, Tokens
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.requests.prompts import TrainingPrompt
from slr.laptop.post_training.sampling import Answer, Answers

SORTED_TOGETHER = 16
"""Number of batches within which exchanges of like length are put together, so that little is padded."""


@dataclass(frozen=True)
class Exchange:
    """A request and an answer to it."""

    request: str
    answer: str


def accepted_exchanges(
    prompts: Sequence[TrainingPrompt], elicited: Sequence[Answers], recipe: Recipe
) -> list[Exchange]:
    """Every accepted answer to a training prompt as often as it was drawn, in random order, at most as many as wanted.

    Every second list is asked for and written in numbered lines.

    Args:
        prompts: all prompts.
        elicited: the start model's answers to them.
        recipe: sets the largest number of exchanges, and the seed.
    """
    by_id = {prompt.id: prompt for prompt in prompts if not prompt.is_dev}
    exchanges = [
        _exchange(by_id[answers.prompt_id], text, as_lines=place % 2 == 1)
        for answers in sorted(elicited, key=lambda answers: answers.prompt_id)
        if answers.prompt_id in by_id
        for place, text in enumerate(answers.accepted(by_id[answers.prompt_id]))
    ]
    random.Random(f"{recipe.seed}/exchanges").shuffle(exchanges)
    return exchanges[: recipe.max_exchanges]


def fine_tune(
    policy: Policy, exchanges: Sequence[Exchange], recipe: Recipe, directory: Path
) -> dict[str, Any]:
    """Train on all exchanges once.

    Args:
        policy: the model that is trained.
        exchanges: requests and answers.
        recipe: sets the size of a batch, the learning rate and the seed.
        directory: gets the weights and the report, see ``optimise``.

    Returns:
        What ``optimise`` measured.
    """

    def loss_of(rows: list[Tokens]) -> tuple[torch.Tensor, Measured]:
        sums, lengths = policy.log_probs(rows)
        return -sums.sum() / lengths.sum(), {
            "tokens": float(sum(len(prompt + answer) for prompt, answer in rows))
        }

    rows = policy.start.chat_tokens(
        [exchange.request for exchange in exchanges], [Answer(exchange.answer) for exchange in exchanges]
    )
    batches = batches_of_like_length(rows, recipe.sft_batch, random.Random(f"{recipe.seed}/sft"))
    return optimise(policy, batches, loss_of, recipe.learning_rate, recipe.warmup_share, directory)


def batches_of_like_length(rows: Sequence[Tokens], size: int, rng: random.Random) -> list[list[Tokens]]:
    """Put all rows in batches, in an order that follows from the generator.

    Args:
        rows: prompts and answers.
        size: number of rows in a batch; the last batches may be smaller.
        rng: draws the order.
    """
    order = list(rows)
    rng.shuffle(order)
    batches: list[list[Tokens]] = []
    for first in range(0, len(order), size * SORTED_TOGETHER):
        window = sorted(order[first : first + size * SORTED_TOGETHER], key=lambda row: len(row[0] + row[1]))
        parts = [window[start : start + size] for start in range(0, len(window), size)]
        rng.shuffle(parts)
        batches += parts
    return batches


def _exchange(prompt: TrainingPrompt, answer: str, as_lines: bool) -> Exchange:
    if prompt.numbered_request is None or not as_lines:
        return Exchange(prompt.request, answer)
    items = re.split(r"\s*,\s*", answer)
    return Exchange(
        prompt.numbered_request, "\n".join(f"{place}. {item}" for place, item in enumerate(items, 1))
    )
