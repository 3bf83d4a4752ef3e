"""Stage 3: rounds of DPO on the policy's own answers, the best of each prompt against the worst.

The reward of an answer is 1 if its program accepts it, plus its typicality: the geometric mean of the probabilities
that the frozen few-shot start model gives its tokens. So no typical wrong answer beats a right one, and of two right
ones the typical one wins. Raters prefer what is typical, which is one explanation of the collapse of diversity (Zhang
et al. 2025, "Verbalized Sampling", arXiv 2510.01171). Lambda is the share of the prompts whose rater looks at
typicality; to the others all right answers are equal. The rater is not the policy, and the answers are not ours.

The loss is DPO's (Rafailov et al. 2023, arXiv 2305.18290), with the model after the supervised stage as its reference
in every round. Added is a weighted negative log-likelihood of the chosen answer, as for Llama 3 (arXiv 2407.21783,
section 4.1.4). Without it the probabilities of both answers fall, and longer and worse ones rise.

The loss is ours and not trl's, because trl puts every token of a prompt through the head of the model. With gemma's
vocabulary of 262,144 that is most of the work and gigabytes of logits; and its checkpoints are not written as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
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
from slr.laptop.post_training.sampling import Answer, Answers, is_accepted


@dataclass(frozen=True)
class Rated:
    """An answer with the terms of its reward. The typicality of an answer that did not end is 0."""

    request: str
    answer: Answer
    is_accepted: bool
    typicality: float

    def reward(self, by_typicality: bool) -> float:
        """Acceptance, plus typicality where the rater looks at it."""
        return self.is_accepted + by_typicality * self.typicality


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
    """Draw the prompts of a round: none for development, and no longer writing, whose samples take too long.

    Args:
        prompts: all prompts.
        recipe: sets how many are drawn, and the seed.
        round_number: number of the round.
    """
    usable = [prompt for prompt in prompts if not prompt.is_dev and prompt.family != "longer_writing"]
    rng = random.Random(f"{recipe.seed}/round {round_number}")
    return rng.sample(usable, min(recipe.round_prompts, len(usable)))


def rate(
    prompts: Sequence[TrainingPrompt], drawn: Sequence[Answers], rater: FewShotModel
) -> dict[str, list[Rated]]:
    """Rate all answers.

    Args:
        prompts: what was asked.
        drawn: the policy's answers.
        rater: gives the typicality of an answer.

    Returns:
        The answers with the terms of their rewards, by the prompt's id.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    typicality: dict[tuple[str, str], float] = {}
    for family in get_args(Family):
        keys = sorted(
            {
                (answers.prompt_id, answer.text)
                for answers in drawn
                for answer in answers.answers
                if answer.ended and by_id[answers.prompt_id].family == family
            }
        )
        values = rater.typicality(family, [by_id[id_].request for id_, _ in keys], [text for _, text in keys])
        typicality |= zip(keys, values, strict=True)
    return {
        answers.prompt_id: [
            Rated(
                prompt.request,
                answer,
                is_accepted(prompt, answer),
                typicality[prompt.id, answer.text] if answer.ended else 0.0,
            )
            for answer in answers.answers
        ]
        for answers in drawn
        for prompt in [by_id[answers.prompt_id]]
    }


def pairs_of_round(
    rated: Mapping[str, Sequence[Rated]], recipe: Recipe, round_number: int
) -> list[tuple[Rated, Rated]]:
    """Pairs of all answers and of the accepted ones, where their rewards differ.

    The worst of all answers is mostly a rejected one, so the pair of the best and the worst teaches what is accepted.
    The other pairs teach which accepted answer is the typical one: the best against other accepted answers, the least
    typical first, each text once. At a share of the prompts typicality counts. At the others these pairs are missing,
    because all accepted answers are equal.

    Args:
        rated: the answers with the terms of their rewards, by the prompt's id.
        recipe: sets that share, the number of pairs of accepted answers, and the seed.
        round_number: number of the round.
    """
    pairs: list[tuple[Rated, Rated]] = []
    for prompt_id, answers in rated.items():
        rng = random.Random(f"{recipe.seed}/round {round_number}/{prompt_id}")
        by_typicality = rng.random() < recipe.typicality_weight
        of_all = best_and_worst(answers, by_typicality)
        of_accepted = _accepted_pairs(answers, by_typicality)[: recipe.accepted_pairs]
        pairs += [pair for pair in dict.fromkeys((of_all, *of_accepted)) if pair is not None]
    return pairs


def best_and_worst(answers: Sequence[Rated], by_typicality: bool) -> tuple[Rated, Rated] | None:
    """The answers with the highest and the lowest reward; None if none is accepted, or all rewards are equal.

    Of equal rewards the one drawn first is taken, because a rule of our own would be another preference.
    """
    if not answers:
        return None
    best = max(answers, key=lambda answer: answer.reward(by_typicality))
    worst = min(answers, key=lambda answer: answer.reward(by_typicality))
    is_pair = best.is_accepted and best.reward(by_typicality) > worst.reward(by_typicality)
    return (best, worst) if is_pair else None


def _accepted_pairs(answers: Sequence[Rated], by_typicality: bool) -> list[tuple[Rated, Rated]]:
    """The best accepted answer with each other one of a lower reward, the lowest first, each text once."""
    accepted = [answer for answer in answers if answer.is_accepted]
    by_text = {answer.answer.text: answer for answer in reversed(accepted)}  # of equal texts the first
    others = sorted(by_text.values(), key=lambda answer: answer.reward(by_typicality))
    best = max(accepted, key=lambda answer: answer.reward(by_typicality), default=None)
    return [
        (best, other) for other in others if best and other.reward(by_typicality) < best.reward(by_typicality)
    ]


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
    device = chosen.device
    chosen_reference = torch.tensor([one.chosen_reference for one in preferences], device=device)
    rejected_reference = torch.tensor([one.rejected_reference for one in preferences], device=device)
    margins = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -logsigmoid(beta * margins).mean(), margins


def prefer_typical(
    policy: Policy, pairs: Sequence[tuple[Rated, Rated]], reference: Any, recipe: Recipe, directory: Path
) -> dict[str, Any]:
    """Train on all pairs once.

    Args:
        policy: the model that is trained.
        pairs: the better and the worse answer to each prompt.
        reference: the fixed model that the loss compares the policy with.
        recipe: sets the loss, the size of a batch, the learning rate and the seed.
        directory: gets the weights and the report, see ``optimise``.

    Returns:
        What ``optimise`` measured.
    """

    def loss_of(batch: list[Preference]) -> tuple[torch.Tensor, Measured]:
        rows = [preference.chosen for preference in batch] + [preference.rejected for preference in batch]
        sums, lengths = policy.log_probs(rows)
        chosen, rejected = sums.chunk(2)
        loss, margins = dpo_loss(chosen, rejected, batch, recipe.beta)
        chosen_nll = -chosen.sum() / lengths[: len(batch)].sum()
        return loss + recipe.chosen_weight * chosen_nll, {
            "dpo_loss": loss.item(),
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
    return optimise(policy, batches, loss_of, recipe.learning_rate, recipe.warmup_share, directory)


def reward_terms(
    pairs: Sequence[tuple[Rated, Rated]], rated: Mapping[str, Sequence[Rated]]
) -> dict[str, float]:
    """Means of the reward's terms over all answers, the chosen and the rejected ones."""
    groups = {
        "all": [answer for answers in rated.values() for answer in answers],
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
        [answer.request for answer in answers], [answer.answer for answer in answers]
    )
    sums = [total for total, _ in score_answers(reference, rows)]
    return [Preference(rows[at], rows[at + 1], sums[at], sums[at + 1]) for at in range(0, len(rows), 2)]
