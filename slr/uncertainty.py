"""Means over prompts with 95% intervals, by resampling prompts; differences between models are paired and tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95
NUM_RESAMPLES = 9999
BOOTSTRAP_SEED = 20260206
LARGE_SAMPLE = 2000
"""From here on the normal interval is taken: the bootstrap comes to the same, and takes gigabytes for it."""


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` prompts and its confidence interval.

    The ends are None where an interval is not defined: with fewer than two prompts.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate_mean(values: Sequence[float | None]) -> Estimate | None:
    """Mean of the defined values with a 95% percentile bootstrap interval; None if no value is defined.

    Args:
        values: one number a prompt; None where the quantity is undefined for that prompt. ``n`` of the
            result counts the defined ones. Of ``LARGE_SAMPLE`` and more, the interval is the normal one.

    Source: Efron and Tibshirani 1993, percentile interval, by ``scipy.stats.bootstrap``.
    """
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    if defined.size == 0:
        return None
    mean = float(defined.mean())
    if defined.size == 1:
        return Estimate(mean, None, None, 1)
    if np.ptp(defined) == 0.0:  # every resample has the same mean
        return Estimate(mean, mean, mean, defined.size)
    from scipy import stats  # takes longer to import than all else here

    if defined.size >= LARGE_SAMPLE:
        half = float(stats.norm.ppf((1 + CONFIDENCE_LEVEL) / 2) * stats.sem(defined))
        return Estimate(mean, mean - half, mean + half, defined.size)
    interval = stats.bootstrap(
        (defined,),
        np.mean,
        n_resamples=NUM_RESAMPLES,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), defined.size)


def estimate_difference(values: Sequence[float | None], reference: Sequence[float | None]) -> Estimate | None:
    """Mean of ``values - reference`` over the prompts where both are defined, with a paired 95% interval.

    Raises:
        ValueError: if the two do not have one number for each of the same prompts.
    """
    _check_paired(values, reference)
    return estimate_mean(
        [
            None if value is None or other is None else value - other
            for value, other in zip(values, reference, strict=True)
        ]
    )


def _check_paired(values: Sequence[float | None], reference: Sequence[float | None]) -> None:
    if len(values) != len(reference):
        raise ValueError(
            "a paired difference needs the same prompts on both sides: "
            f"got {len(values)} and {len(reference)} values"
        )


def paired_p_value(values: Sequence[float | None], reference: Sequence[float | None]) -> float | None:
    """Two-sided p-value of the mean paired difference, over the prompts where both are defined.

    The share of sign flips of the differences whose mean is at least as far from zero: of all flips where they are
    few, else of 9999 random ones and the identity. None with fewer than two pairs.

    Source: the paired permutation test, as ``scipy.stats.permutation_test`` has it (``permutation_type="samples"``);
    one matrix product here, for tables need thousands of them.

    Raises:
        ValueError: if the two do not have one number for each of the same prompts.
    """
    _check_paired(values, reference)
    differences = np.array(
        [v - r for v, r in zip(values, reference, strict=True) if v is not None and r is not None]
    )
    if differences.size < 2:
        return None
    sums = np.abs(_sign_flips(differences.size) @ differences)
    smallest = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()  # equal but for rounding
    as_far = int((sums >= smallest).sum())
    is_exact = len(sums) == 2**differences.size
    return as_far / len(sums) if is_exact else (as_far + 1) / (len(sums) + 1)


@lru_cache(maxsize=16)
def _sign_flips(size: int) -> NDArray[np.float64]:
    """Rows of 1 and -1: every one there is, or ``NUM_RESAMPLES`` random ones if those are fewer."""
    if 2**size <= NUM_RESAMPLES:
        return np.array(list(product((1, -1), repeat=size)), dtype=np.float64)
    return np.random.default_rng(BOOTSTRAP_SEED).choice(np.array([1.0, -1.0]), (NUM_RESAMPLES, size))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values of several comparisons, corrected so that the chance of any false one is kept; None stays None.

    The i-th smallest of m is multiplied by ``m - i + 1``, never below the one before it, and at most 1.

    Source: Holm 1979 (Scandinavian Journal of Statistics 6).
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[index] = largest
    return corrected


def estimate_ratio(values: Sequence[float | None], reference: Sequence[float | None]) -> Estimate | None:
    """Ratio of two paired means, over the prompts where both are defined, with a 95% interval.

    The interval holds every ratio r for which a t-test does not tell the mean of ``values - r * reference`` from 0.
    Its ends are None with fewer than two prompts, and where the same test does not tell the mean of ``reference``
    from 0, because then it would be no interval.

    Args:
        values: one number a prompt; None where the quantity is undefined for that prompt.
        reference: as ``values``, for the same prompts.

    Returns:
        None if no prompt has both, or the mean of ``reference`` is not above 0.

    Raises:
        ValueError: if the two do not have one number for each of the same prompts.

    Source: Fieller 1954 (Journal of the Royal Statistical Society B 16), with the covariance of the pairs.
    """
    if len(values) != len(reference):
        raise ValueError(
            f"a paired ratio needs the same prompts on both sides: got {len(values)} and {len(reference)} values"
        )
    pairs = [(v, r) for v, r in zip(values, reference, strict=True) if v is not None and r is not None]
    above, below = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    size = len(pairs)
    if size == 0 or below.mean() <= 0:
        return None
    ratio = float(above.mean() / below.mean())
    if size == 1:
        return Estimate(ratio, None, None, 1)
    from scipy.special import stdtrit  # takes longer to import than all else here

    # Around the ratio, so that values in proportion to the reference give an interval of no width.
    residuals, deviations = above - ratio * below, below - below.mean()
    scale = float(stdtrit(size - 1, (1 + CONFIDENCE_LEVEL) / 2)) ** 2 / (size * (size - 1))
    square = below.mean() ** 2 - scale * (deviations @ deviations)
    if square <= 0:
        return Estimate(ratio, None, None, size)
    middle = -scale * (residuals @ deviations)
    half = np.sqrt(middle**2 + square * scale * (residuals @ residuals))
    return Estimate(
        ratio, float(ratio + (middle - half) / square), float(ratio + (middle + half) / square), size
    )
