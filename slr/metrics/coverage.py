"""How many of the right answers to a prompt its samples find.

A sample's answer is canonical: samples that mean the same have equal answers. It is None where the sample is
not right. ``num_right`` is the number of right answers that the prompt has.

Shape letter: K numbers of samples drawn, from 1 to all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from slr.metrics.pass_at_k import check_draw, pass_at_k, pass_at_k_curve

Answers = Sequence[Hashable | None]
"""One canonical answer for each sample; None for a sample that is not right."""


def precision(answers: Answers) -> float | None:
    """Share of the samples that are right, in [0, 1]; None if there are no samples."""
    if not answers:
        return None
    return sum(answer is not None for answer in answers) / len(answers)


def coverage_at_k(answers: Answers, num_right: int, k: int) -> float:
    """Compute the expected share of the right answers in k of the n samples, drawn without replacement.

    The formula is ``sum over answers of (1 - C(n - m, k) / C(n, k)) / R``, for an answer that m samples give
    and R right answers. It is the exact mean over all choices of k samples.

    Source: rarefaction, Hurlbert 1971 (Ecology 52), divided by R.

    Args:
        answers: one canonical answer for each of the n samples; None for a sample that is not right.
        num_right: number of right answers R.
        k: number of samples drawn.

    Returns:
        The share, in [0, 1]; 0 if no sample is right.

    Raises:
        ValueError: unless ``1 <= k <= n``, or if ``num_right`` is below 1 or below the number of different
            right answers.
    """
    counts = _checked_counts(answers, num_right)
    check_draw(k, len(answers))
    return math.fsum(pass_at_k(len(answers), count, k) for count in counts.values()) / num_right


def coverage_curve(answers: Answers, num_right: int) -> tuple[float, ...]:
    """Compute ``coverage_at_k`` for every k from 1 to the number of samples; empty if there are none.

    Raises:
        ValueError: if ``num_right`` is below 1 or below the number of different right answers.
    """
    counts = _checked_counts(answers, num_right)
    seen_K = np.zeros(len(answers))
    # Answers that equally many samples give have the same curve, so each curve is computed once.
    for count, num_answers in Counter(counts.values()).items():
        seen_K += num_answers * pass_at_k_curve(len(answers), count)
    return tuple(float(seen) for seen in seen_K / num_right)


def ideal_coverage_at_k(num_right: int, k: int) -> float:
    """Compute the expected share of R right answers in k samples, if each sample is a uniform right answer.

    The formula is ``1 - (1 - 1/R)^k``, with replacement. A model that is always right and fully diverse
    reaches it.

    Raises:
        ValueError: if ``num_right`` or ``k`` is below 1.
    """
    _check_num_right(num_right)
    if k < 1:
        raise ValueError(f"k is {k}: expected at least one sample")
    return 1.0 - (1.0 - 1.0 / num_right) ** k


def answer_entropy(answers: Answers, num_right: int) -> float | None:
    """Compute the entropy of the right samples over the right answers, divided by ``log R``.

    The formula is ``sum over answers of (m/s) log(s/m) / log R``, for an answer that m of the s right samples
    give. This plug-in estimate is biased downwards while samples are few.

    Source: Shannon 1948; normalised with all R right answers, as Pielou 1966 (evenness).

    Returns:
        0 if all right samples give the same answer, 1 if they give every right answer equally often. None if
        no sample is right, or if there is only one right answer.

    Raises:
        ValueError: if ``num_right`` is below 1 or below the number of different right answers.
    """
    counts = _checked_counts(answers, num_right)
    if not counts or num_right == 1:
        return None
    total = counts.total()
    entropy = math.fsum(count / total * math.log(total / count) for count in counts.values())
    return entropy / math.log(num_right)


def _counts(answers: Answers) -> Counter[Hashable]:
    return Counter(answer for answer in answers if answer is not None)


def _checked_counts(answers: Answers, num_right: int) -> Counter[Hashable]:
    _check_num_right(num_right)
    counts = _counts(answers)
    if len(counts) > num_right:
        raise ValueError(
            f"the samples give {len(counts)} different right answers, but num_right is {num_right}: "
            "make answers canonical, so that answers with one meaning are equal, or correct num_right"
        )
    return counts


def _check_num_right(num_right: int) -> None:
    if num_right < 1:
        raise ValueError(f"num_right is {num_right}: expected at least one right answer")
