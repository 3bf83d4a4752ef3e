"""Power of a paired t-test: the smallest difference that an experiment can find.

The tables test by permutation, which has nearly the power of the t-test if data are not far from normal.
"""

from __future__ import annotations

import math

from slr.statistics.uncertainty import CONFIDENCE_LEVEL

POWER = 0.8
"""Probability with which a difference is to be found."""
SIGNIFICANCE = 1 - CONFIDENCE_LEVEL
"""Two-sided level of a test."""


def power_of(difference: float, spread: float, n: int, significance: float = SIGNIFICANCE) -> float:
    """Probability that a two-sided paired t-test finds a mean difference, by the noncentral F distribution.

    Source: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, chapter 2.

    Args:
        difference: the true mean difference.
        spread: standard deviation of the differences, above 0.
        n: number of pairs, at least 2.
        significance: two-sided level of the test.

    Raises:
        ValueError: if there are fewer than two pairs, or the spread is not above 0.
    """
    from scipy.special import ncfdtr, stdtrit

    if n < 2 or not spread > 0:
        raise ValueError(
            f"got {n} pairs with a spread of {spread:g}: expected at least 2 and a spread above 0"
        )
    critical = float(stdtrit(n - 1, 1 - significance / 2))
    # The square of noncentral t is noncentral F, which has both tails in one.
    return float(1 - ncfdtr(1, n - 1, n * (difference / spread) ** 2, critical**2))


def smallest_difference(
    spread: float, n: int, significance: float = SIGNIFICANCE, power: float = POWER
) -> float:
    """Smallest mean difference that a two-sided paired t-test finds with a given probability.

    Args:
        spread: standard deviation of the differences, above 0.
        n: number of pairs, at least 2.
        significance: two-sided level of the test.
        power: the probability, between ``significance`` and 1.

    Raises:
        ValueError: if a value is outside its range.
    """
    from scipy.optimize import root_scalar

    if not significance < power < 1:
        raise ValueError(f"power is {power:g}: expected a probability above {significance:g} and below 1")
    power_of(0.0, spread, n, significance)  # checks the rest
    error = spread / math.sqrt(n)
    largest = error
    while power_of(largest, spread, n, significance) < power:
        largest += error
    found = root_scalar(
        lambda difference: power_of(difference, spread, n, significance) - power, bracket=(0.0, largest)
    )
    return float(found.root)
