"""What is measured on development prompts, and the criterion that stops the rounds of preference.

Nothing here reads a prompt of an experiment, a CRC score or a hybrid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slr.laptop.post_training.policy import StartModel, score_answers
from slr.laptop.post_training.requests.acceptance import answer_key
from slr.laptop.post_training.requests.prompts import CHOICE_FAMILIES, TrainingPrompt
from slr.laptop.post_training.sampling import Answers

MAX_ENTROPY_RATIO = 0.5
"""Largest ratio of the policy's entropy over accepted answers to the few-shot start model's."""
MIN_ACCEPTANCE_RATIO = 0.9
"""Smallest ratio of acceptance to acceptance after the supervised stage.

So what collapses is the choice among right answers, and not the answers.
"""
MAX_KL_TO_SFT = 10.0
"""Largest KL divergence to the supervised model, in nats an answer."""
MIN_ACCEPTED = 4
"""Smallest number of accepted answers of each model to a prompt, below which their entropy says nothing."""


@dataclass(frozen=True, kw_only=True)
class DevMeasurement:
    """One model on the development prompts.

    Attributes:
        entropy: entropy over accepted answers in nats, mean over the prompts of the families with many right answers.
        base_entropy: the few-shot start model's entropy in nats, over equally many accepted answers.
        entropy_prompts: number of prompts that both are means over.
        acceptance: share of accepted answers, mean over the prompts.
        sft_acceptance: the supervised model's share of accepted answers, mean over the prompts.
        kl_to_sft: KL divergence in nats an answer, estimated as the mean log-ratio of the policy's own answers.
        family_acceptance: share of accepted answers by family.
    """

    entropy: float
    base_entropy: float
    entropy_prompts: int
    acceptance: float
    sft_acceptance: float
    kl_to_sft: float
    family_acceptance: Mapping[str, float]

    @property
    def entropy_ratio(self) -> float:
        """Ratio of the entropy to the few-shot start model's."""
        return self.entropy / self.base_entropy

    def unmet(self) -> list[str]:
        """The conditions of the stopping criterion that do not hold, in words. Training stops if there is none."""
        conditions = (
            (self.entropy_ratio <= MAX_ENTROPY_RATIO, f"entropy is {self.entropy_ratio:.2f} of the base's"),
            (
                self.acceptance >= MIN_ACCEPTANCE_RATIO * self.sft_acceptance,
                f"acceptance is {self.acceptance:.2f}, after {self.sft_acceptance:.2f}",
            ),
            (self.kl_to_sft <= MAX_KL_TO_SFT, f"KL to the supervised model is {self.kl_to_sft:.1f} nats"),
        )
        return [words for holds, words in conditions if not holds]


def entropy(answers: Sequence[str]) -> float:
    """Entropy in nats of the observed shares of different answers (by ``answer_key``).

    Raises:
        ValueError: if there is no answer.
    """
    if not answers:
        raise ValueError("there is no answer: entropy is undefined")
    counts = Counter(map(answer_key, answers)).values()
    return sum(-count / len(answers) * math.log(count / len(answers)) for count in counts)


def measure_dev(
    prompts: Sequence[TrainingPrompt],
    drawn: Sequence[Answers],
    base_drawn: Sequence[Answers],
    sft_drawn: Sequence[Answers],
    kl_to_sft: float,
) -> DevMeasurement:
    """Measure a model by its answers to development prompts.

    Entropy is over equally many accepted answers of both models, because the entropy of fewer answers is lower.

    Args:
        prompts: the development prompts.
        drawn: the model's answers to all of them.
        base_drawn: the few-shot start model's answers.
        sft_drawn: the supervised model's answers.
        kl_to_sft: KL divergence to the supervised model in nats an answer, from ``mean_log_ratio``.

    Raises:
        ValueError: if no prompt has enough accepted answers of both.
    """
    answers, base = accepted_texts(prompts, drawn), accepted_texts(prompts, base_drawn)
    entropies = [
        (entropy(answers[prompt.id][:count]), entropy(base[prompt.id][:count]))
        for prompt in prompts
        if prompt.family in CHOICE_FAMILIES
        for count in [min(len(answers[prompt.id]), len(base[prompt.id]))]
        if count >= MIN_ACCEPTED
    ]
    if not entropies:
        raise ValueError(f"no development prompt has {MIN_ACCEPTED} accepted answers of both models")
    shares = accepted_shares(prompts, drawn)
    families = {prompt.family for prompt in prompts}
    return DevMeasurement(
        entropy=_mean([policy for policy, _ in entropies]),
        base_entropy=_mean([start for _, start in entropies]),
        entropy_prompts=len(entropies),
        acceptance=_mean(list(shares.values())),
        sft_acceptance=_mean(list(accepted_shares(prompts, sft_drawn).values())),
        kl_to_sft=kl_to_sft,
        family_acceptance={
            family: _mean([shares[prompt.id] for prompt in prompts if prompt.family == family])
            for family in sorted(families)
        },
    )


def accepted_texts(prompts: Sequence[TrainingPrompt], drawn: Sequence[Answers]) -> dict[str, list[str]]:
    """The accepted answers to each prompt, by its id; what was drawn to other prompts is left out."""
    by_id = {prompt.id: prompt for prompt in prompts}
    return {
        answers.prompt_id: answers.accepted(by_id[answers.prompt_id])
        for answers in drawn
        if answers.prompt_id in by_id
    }


def accepted_shares(prompts: Sequence[TrainingPrompt], drawn: Sequence[Answers]) -> dict[str, float]:
    """The share of accepted answers to each prompt, by its id."""
    sizes = {answers.prompt_id: len(answers.answers) for answers in drawn}
    return {id_: len(texts) / sizes[id_] for id_, texts in accepted_texts(prompts, drawn).items()}


def mean_log_ratio(
    start: StartModel,
    prompts: Sequence[TrainingPrompt],
    drawn: Sequence[Answers],
    policy: Any,
    reference: Any,
) -> float:
    """KL divergence of the policy to the reference in nats an answer, estimated on answers drawn from the policy.

    Args:
        start: renders requests.
        prompts: what was asked.
        drawn: the policy's answers. An answer that did not end counts up to its last token.
        policy: the model that they were drawn from.
        reference: the other model.
    """
    requests = {prompt.id: prompt.request for prompt in prompts}
    rows = start.chat_tokens(
        [requests[answers.prompt_id] for answers in drawn for _ in answers.answers],
        [answer for answers in drawn for answer in answers.answers],
    )
    rows = [(prompt, answer) for prompt, answer in rows if answer]
    ratios = [
        ours - theirs
        for (ours, _), (theirs, _) in zip(
            score_answers(policy, rows), score_answers(reference, rows), strict=True
        )
    ]
    return _mean(ratios)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
