"""How many different good samples a prompt has, and what they are worth to a reader who loses patience.

Samples come as functional classes: one a sample, equal where two samples serve the reader alike, and None where a
sample is not valid. Shape letters: N samples, K numbers of samples drawn, from 1 to N.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from slr.metrics.pass_at_k import check_draw, pass_at_k_curve

Classes = Sequence[Hashable | None]
"""One functional class a sample; None for a sample that is not valid."""

PATIENCE = 0.8
"""Probability that a reader looks at one more sample, as NoveltyBench sets it."""


def distinct_valid(classes: Classes) -> int:
    """Count the different valid samples; 0 if there are none."""
    return len({name for name in classes if name is not None})


def distinct_valid_curve(classes: Classes) -> tuple[float, ...]:
    """Expected number of different valid samples among k of the N, for k from 1 to N; empty without samples.

    ``sum over classes of 1 - C(N - m, k) / C(N, k)`` for a class of m samples: the exact mean over all choices of
    k samples. Source: rarefaction, Hurlbert 1971 (Ecology 52).
    """
    return tuple(_expected_worth(classes, np.ones(len(classes))).tolist())


def distinct_valid_at_k(classes: Classes, k: int) -> float:
    """Expected number of different valid samples among k of the N, drawn without replacement.

    Args:
        classes: the functional class of each sample, or None where it is not valid; length N.
        k: number of samples drawn.

    Raises:
        ValueError: unless ``1 <= k <= N``.
    """
    check_draw(k, len(classes))
    return distinct_valid_curve(classes)[k - 1]


def utility_at_k(
    classes: Classes, k: int, utilities: Sequence[float] | None = None, patience: float = PATIENCE
) -> float:
    """Expected utility of k of the N samples to a reader who goes on to the next with a fixed probability.

    ``(1 - p) / (1 - p^k) * sum over i = 1..k of p^(i-1) * u_i * [sample i is valid and of a new class]``. The mean
    over all orders of the samples is computed exactly, because their order carries no information: the first
    sample of a class is any of its samples with equal chance. With utilities of 1 the value lies in [0, 1], and is 1
    if every sample is valid and of a class of its own.

    Source: NoveltyBench, Zhang et al. 2025 (arXiv 2504.05228), ``utility_k``, there for one order.

    Args:
        classes: the functional class of each sample, or None where it is not valid; length N.
        k: number of samples that the reader has at most.
        utilities: worth of each sample, length N; by default 1 for every valid one.
        patience: the probability p, in (0, 1).

    Raises:
        ValueError: unless ``1 <= k <= N``, each sample has a finite utility, and ``0 < patience < 1``.
    """
    check_draw(k, len(classes))
    if not 0 < patience < 1:
        raise ValueError(f"patience is {patience:g}: expected a probability above 0 and below 1")
    worth_N = np.ones(len(classes)) if utilities is None else np.array(utilities, dtype=np.float64)
    if worth_N.shape != (len(classes),) or not np.isfinite(worth_N).all():
        raise ValueError(
            f"got {worth_N.size} utilities for {len(classes)} samples: expected one finite number a sample"
        )
    gain_K = np.diff(_expected_worth(classes, worth_N)[:k], prepend=0.0)
    weight_K = patience ** np.arange(k)
    return float(gain_K @ weight_K / math.fsum(weight_K))


def _expected_worth(classes: Classes, worth_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected worth of the first samples of all classes among k samples, for every k; shape (K,)."""
    worth_of: defaultdict[Hashable, list[float]] = defaultdict(list)
    for name, worth in zip(classes, worth_N, strict=True):
        if name is not None:
            worth_of[name].append(float(worth))
    expected_K = np.zeros(len(classes))
    for of_class in worth_of.values():
        expected_K += math.fsum(of_class) / len(of_class) * pass_at_k_curve(len(classes), len(of_class))
    return expected_K
