"""Stage 3: rounds of DPO on the policy's own answers, the best of each prompt against the worst.

The reward of an answer is 1 if its program accepts it, plus lambda times its typicality: the mean log-probability a
token that the frozen few-shot start model gives it. Raters prefer what is typical, and this is how preference learning
collapses diversity (Zhang et al. 2025, "Verbalized Sampling", arXiv 2510.01171). The rater is not the policy, and the
answers are not ours. The loss is that of Rafailov et al. 2023 (arXiv 2305.18290); its reference is the model after
the supervised stage, in every round.

The loss is ours and not trl's, because trl puts every token of a prompt through the head of the model. With gemma's
vocabulary of 262,144 that is most of the work and gigabytes of logits; and its checkpoints are not written as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch.nn.functional import logsigmoid

from slr.laptop.post_training.few_shot import FewShotModel
from slr.laptop.post_training.optimisation import Measured, optimise
from slr.laptop.post_training.policy import Policy, Tokens, score_answers
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.requests.prompts import Family, TrainingPrompt
from slr.laptop.post_training.sampling import Answers


@dataclass(frozen=True)
class Rated:
    """An answer with the terms of its reward."""

    request: str
    text: str
    is_accepted: bool
    typicality: float

    def reward(self, typicality_weight: float) -> float:
        """Acceptance plus weighted typicality."""
        return self.is_accepted + typicality_weight * self.typicality


@dataclass(frozen=True)
class Preference:
    """Two answers to a request, as tokens, with the log-probabilities that the reference gives them, in nats."""

    chosen: Tokens
    rejected: Tokens
    chosen_reference: float
    rejected_reference: float


def round_prompts(
    prompts: Sequence[TrainingPrompt], recipe: Recipe, round_number: int
) -> list[TrainingPrompt]:
    """The prompts of a round: none for development, and no longer writing, whose samples take too long."""
    usable = [prompt for prompt in prompts if not prompt.is_dev and prompt.family != "longer_writing"]
    rng = random.Random(f"{recipe.seed}/round {round_number}")
    return rng.sample(usable, min(recipe.round_prompts, len(usable)))


def rate(
    prompts: Sequence[TrainingPrompt], drawn: Sequence[Answers], rater: FewShotModel
) -> list[list[Rated]]:
    """Each prompt's answers with their terms; answers that did not end are left out, as they cannot be compared."""
    by_id = {prompt.id: prompt for prompt in prompts}
    rated: dict[str, list[Rated]] = {}
    for family in get_args(Family):
        pairs = [
            (prompt, text)
            for answers in drawn
            for prompt in [by_id[answers.prompt_id]]
            if prompt.family == family
            for text in answers.texts
            if text
        ]
        typicalities = rater.mean_log_probs(
            family, [prompt.request for prompt, _ in pairs], [text for _, text in pairs]
        )
        for (prompt, text), typicality in zip(pairs, typicalities, strict=True):
            row = Rated(prompt.request, text, prompt.accepts(text), typicality)
            rated.setdefault(prompt.id, []).append(row)
    return list(rated.values())


def best_and_worst(answers: Sequence[Rated], typicality_weight: float) -> tuple[Rated, Rated] | None:
    """The answers with the highest and the lowest reward; None if all rewards are equal.

    Of equal rewards the one drawn first is taken, because a rule of our own would be another preference.
    """
    best = max(answers, key=lambda answer: answer.reward(typicality_weight))
    worst = min(answers, key=lambda answer: answer.reward(typicality_weight))
    return None if best.reward(typicality_weight) == worst.reward(typicality_weight) else (best, worst)


def dpo_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, preferences: Sequence[Preference], beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """DPO's loss and the margins that it is made of.

    Args:
        chosen: log-probabilities of the chosen answers under the policy, in nats, shape (pairs,).
        rejected: the same of the rejected ones.
        preferences: with the reference's log-probabilities.
        beta: how strongly the reference is held to.

    Returns:
        The mean loss, and the margins, shape (pairs,): how much more than the reference the policy prefers the
        chosen answer, in nats.
    """
    chosen_reference = torch.tensor([preference.chosen_reference for preference in preferences])
    rejected_reference = torch.tensor([preference.rejected_reference for preference in preferences])
    margins = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -logsigmoid(beta * margins).mean(), margins


def prefer_typical(
    policy: Policy, pairs: Sequence[tuple[Rated, Rated]], reference: Any, recipe: Recipe, directory: Path
) -> dict[str, Any]:
    """One epoch over the pairs; returns what ``optimise`` measured."""

    def loss_of(batch: list[Preference]) -> tuple[torch.Tensor, Measured]:
        rows = [preference.chosen for preference in batch] + [preference.rejected for preference in batch]
        sums, _ = policy.log_probs(rows)
        chosen, rejected = sums.chunk(2)
        loss, margins = dpo_loss(chosen, rejected, batch, recipe.beta)
        return loss, {
            "tokens": float(sum(len(prompt + answer) for prompt, answer in rows)),
            "accuracy": (margins > 0).float().mean().item(),
            "margin": margins.mean().item(),
            "chosen_log_prob": chosen.mean().item(),
            "rejected_log_prob": rejected.mean().item(),
        }

    preferences = _with_reference(policy, pairs, reference)
    random.Random(f"{recipe.seed}/{directory.name}/pairs").shuffle(preferences)
    size = recipe.round_batch
    batches = [preferences[first : first + size] for first in range(0, len(preferences), size)]
    return optimise(policy, batches, loss_of, recipe.preference_learning_rate, recipe.warmup_share, directory)


def reward_terms(pairs: Sequence[tuple[Rated, Rated]], rated: Sequence[Sequence[Rated]]) -> dict[str, float]:
    """Means of the reward's terms over all answers, the chosen and the rejected ones."""
    groups = {
        "all": [answer for answers in rated for answer in answers],
        "chosen": [best for best, _ in pairs],
        "rejected": [worst for _, worst in pairs],
    }
    return {
        f"{name}_{term}": sum(getattr(answer, field) for answer in answers) / len(answers)
        for name, answers in groups.items()
        for term, field in (("acceptance", "is_accepted"), ("typicality", "typicality"))
    }


def _with_reference(policy: Policy, pairs: Sequence[tuple[Rated, Rated]], reference: Any) -> list[Preference]:
    answers = [answer for pair in pairs for answer in pair]
    rows = policy.start.chat_tokens(
        [answer.request for answer in answers], [answer.text for answer in answers]
    )
    sums = [total for total, _ in score_answers(reference, rows)]
    return [Preference(rows[at], rows[at + 1], sums[at], sums[at + 1]) for at in range(0, len(rows), 2)]
