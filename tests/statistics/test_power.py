"""The power of a paired test, against simulated tests and a published value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from slr.statistics.power import power_of, smallest_difference


@pytest.mark.parametrize(
    ("n", "spread", "significance"),
    [(5, 1.0, 0.05), (24, 0.08, 0.05), (96, 2.5, 0.05), (24, 0.08, 0.05 / 6), (300, 0.25, 0.05)],
)
def test_the_smallest_difference_is_found_in_four_of_five_simulated_experiments(
    n: int, spread: float, significance: float
) -> None:
    difference = smallest_difference(spread, n, significance)
    drawn = np.random.default_rng(n).normal(difference, spread, (20_000, n))
    tests: Any = ttest_1samp(drawn, 0.0, axis=1)
    found = tests.pvalue < significance
    # The standard error of a share of 0.8 of 20,000 is 0.0028.
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_a_published_sample_size() -> None:
    # G*Power: a paired difference of half a standard deviation needs 34 pairs for a power of 0.8.
    assert smallest_difference(1.0, 34) < 0.5 < smallest_difference(1.0, 33)


def test_without_a_difference_the_power_is_the_level() -> None:
    assert power_of(0.0, 1.0, 10) == pytest.approx(0.05)
    assert power_of(-0.7, 1.0, 10) == pytest.approx(power_of(0.7, 1.0, 10))


@pytest.mark.parametrize(("spread", "n"), [(0.0, 10), (1.0, 1)])
def test_no_spread_or_one_pair_is_an_error(spread: float, n: int) -> None:
    with pytest.raises(ValueError, match="expected at least 2 and a spread above 0"):
        smallest_difference(spread, n)


def test_a_power_that_is_no_probability_above_the_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="power is 1"):
        smallest_difference(1.0, 10, power=1.0)
