"""Means over prompts with 95% intervals, and paired, tested differences between models.

The interval of a mean is Student's t. Two rules make its coverage hold for data like ours:

- The quantile is the one for 97% (``T_LEVEL``). With skewed values, or with many values of exactly zero or
  one, an interval of 95% would hold the true mean too seldom.
- There is no interval where fewer than ``FEWEST_THAT_DIFFER`` values differ from the most frequent one,
  because these few do not show the spread. So equal values have no interval, and fewer than four values have
  none.

With both rules at least 93% of the printed intervals hold the true mean, for every n simulated.
docs/statistics.md has the distributions, the criterion and the other methods (the percentile bootstrap has
0.83 for five normal values). ``experiments/interval_coverage.py`` simulates them. An interval may reach
beyond the bounds of a quantity, because nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95
"""Level that printed intervals are called by."""
T_LEVEL = 0.97
"""Level of the t quantile in an interval that is called 95%. Its coverage is between 93% and 97%."""
FEWEST_THAT_DIFFER = 3
"""Number of values that must differ from the most frequent one.

With fewer of them, an interval would hold the true mean too seldom.
"""
NUM_RESAMPLES = 9999
"""Largest number of sign flips in a permutation test."""
BOOTSTRAP_SEED = 20260206
"""Seed of the random sign flips."""


@dataclass(frozen=True)
class Estimate:
    """A mean over prompts and its confidence interval.

    Attributes:
        mean: the mean.
        low: low end of the interval; None where the values do not show their spread (see the module).
        high: high end of the interval; None where ``low`` is.
        n: number of prompts.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        """Write the mean and the interval with three decimals."""
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate_mean(values: Sequence[float | None]) -> Estimate | None:
    """Compute the mean of the defined values with a 95% interval by Student's t (see the module).

    Args:
        values: one number for each prompt; None where the quantity is undefined for that prompt. ``n`` of the
            result counts the defined ones.

    Returns:
        The estimate; None if no value is defined.

    Raises:
        ValueError: if a value is infinite or not a number.
    """
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return _estimate(defined, largest=float(np.abs(defined).max(initial=0.0)))


@lru_cache(maxsize=1024)
def t_quantile(n: int, level: float = CONFIDENCE_LEVEL) -> float:
    """Find how many standard errors of n values Student's t interval of a level reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + level) / 2))


def estimate_difference(values: Sequence[float | None], reference: Sequence[float | None]) -> Estimate | None:
    """Compute the mean of ``values - reference`` with a paired 95% interval.

    Only the prompts count where both are defined.

    Raises:
        ValueError: if the two do not have one number for each of the same prompts, or a value is infinite or
            not a number.
    """
    _check_paired(values, reference)
    pairs = np.array(
        [(v, r) for v, r in zip(values, reference, strict=True) if v is not None and r is not None],
        dtype=np.float64,
    ).reshape(-1, 2)
    return _estimate(pairs[:, 0] - pairs[:, 1], largest=float(np.abs(pairs).max(initial=0.0)))


def _estimate(values: NDArray[np.float64], largest: float) -> Estimate | None:
    """Compute the mean and its interval.

    Args:
        values: the defined values.
        largest: largest absolute number that the values were computed from. Values that differ by no more
            than its rounding count as equal.

    Raises:
        ValueError: if a value is infinite or not a number.
    """
    if values.size == 0:
        return None
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise ValueError(f"a mean needs finite values: got {bad}; give None where a value is undefined")
    mean = float(values.mean())
    if _num_that_differ(values, tolerance=1e-12 * largest) < FEWEST_THAT_DIFFER:
        return Estimate(mean, None, None, values.size)
    half = t_quantile(values.size, T_LEVEL) * float(values.std(ddof=1)) / values.size**0.5
    return Estimate(mean, mean - half, mean + half, values.size)


def _num_that_differ(values: NDArray[np.float64], tolerance: float) -> int:
    """Count the values that are not the most frequent one."""
    # A new group begins where a sorted value differs from the one before it.
    groups = np.cumsum(np.diff(np.sort(values), prepend=values.min()) > tolerance)
    return values.size - int(np.bincount(groups).max())


def _check_paired(values: Sequence[float | None], reference: Sequence[float | None]) -> None:
    if len(values) != len(reference):
        raise ValueError(
            "a paired difference needs the same prompts on both sides: "
            f"got {len(values)} and {len(reference)} values"
        )


def paired_p_value(values: Sequence[float | None], reference: Sequence[float | None]) -> float | None:
    """Compute the two-sided p-value of the mean paired difference by a permutation test.

    The p-value is the share of sign flips of the differences whose mean is at least as far from zero. All
    flips are counted where there are few, otherwise 9999 random ones and the identity. Only the prompts count
    where both values are defined.

    Source: the paired permutation test of ``scipy.stats.permutation_test`` (``permutation_type="samples"``).
    Here it is one matrix product, because tables need thousands of tests.

    Returns:
        The p-value; None with fewer than two pairs.

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
    # Sums that differ by rounding only count as equally far from zero.
    smallest = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    as_far = int((sums >= smallest).sum())
    is_exact = len(sums) == 2**differences.size
    # The identity is one of all flips, but not one of the random flips. Counting it keeps a p-value from being 0.
    return as_far / len(sums) if is_exact else (as_far + 1) / (len(sums) + 1)


@lru_cache(maxsize=16)
def _sign_flips(size: int) -> NDArray[np.float64]:
    """Make rows of 1 and -1: all there are, or ``NUM_RESAMPLES`` random ones if there are more than that."""
    if 2**size <= NUM_RESAMPLES:
        return np.array(list(product((1, -1), repeat=size)), dtype=np.float64)
    return np.random.default_rng(BOOTSTRAP_SEED).choice(np.array([1.0, -1.0]), (NUM_RESAMPLES, size))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct the p-values of several comparisons so that the chance of any false one is kept; None stays None.

    The i-th smallest of m is multiplied by ``m - i + 1``. It is never below the one before it, and at most 1.

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
    """Compute the ratio of two paired means with a 95% interval, over the prompts where both are defined.

    The interval holds every ratio r for which a t-test does not reject that the mean of ``values - r *
    reference`` is 0. Level and rule are the same as for every interval here. It has no ends where fewer than
    ``FEWEST_THAT_DIFFER`` values of that difference differ, or where the test does not reject that the mean
    of ``reference`` is 0.

    Source: Fieller 1954 (Journal of the Royal Statistical Society B 16), with the covariance of the pairs.

    Args:
        values: one number for each prompt; None where the quantity is undefined for that prompt.
        reference: numbers of the same prompts, like ``values``.

    Returns:
        The estimate; None if no prompt has both, or the mean of ``reference`` is not above 0.

    Raises:
        ValueError: if the two do not have one number for each of the same prompts.
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
    residuals, deviations = above - ratio * below, below - below.mean()
    if _num_that_differ(residuals, tolerance=1e-12 * float(np.abs(above).max())) < FEWEST_THAT_DIFFER:
        return Estimate(ratio, None, None, size)
    scale = t_quantile(size, T_LEVEL) ** 2 / (size * (size - 1))
    square = below.mean() ** 2 - scale * (deviations @ deviations)
    # The reference's mean may be 0, so the ratio is unbounded.
    if square <= 0:
        return Estimate(ratio, None, None, size)
    middle = -scale * (residuals @ deviations)
    half = np.sqrt(middle**2 + square * scale * (residuals @ residuals))
    return Estimate(
        ratio, float(ratio + (middle - half) / square), float(ratio + (middle + half) / square), size
    )
