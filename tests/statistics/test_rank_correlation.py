"""Spearman's correlation against scipy, and its interval against a plain computation and by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slr.statistics.rank_correlation import spearman


@pytest.mark.parametrize("decimals", [1, 6])
def test_equals_scipys_also_with_ties(decimals: int) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=20).round(decimals)
    second = (first + rng.normal(size=20)).round(decimals)
    found = spearman(first.tolist(), second.tolist())
    assert found is not None
    reference: Any = stats.spearmanr(first, second)
    assert found.mean == pytest.approx(reference.statistic)
    half = 1.959964 * math.sqrt((1 + found.mean**2 / 2) / 17)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.mean) - half), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(math.atanh(found.mean) + half), abs=1e-6)
    assert found.n == 20


def test_the_interval_holds_the_true_correlation_often_enough() -> None:
    rng = np.random.default_rng(1)
    pearson = 0.6
    true = 6 / math.pi * math.asin(pearson / 2)  # Spearman's correlation of a bivariate normal distribution
    covered = 0
    for _ in range(1000):
        x, y = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], size=15).T
        found = spearman(x.tolist(), y.tolist())
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
    assert covered >= 920


def test_perfect_order_has_no_interval_and_equal_numbers_no_correlation() -> None:
    found = spearman([1.0, 2.0, 3.0, 9.0], [0.1, 0.2, 0.3, 0.4])
    assert found is not None
    assert found.mean == pytest.approx(1)
    assert found.low is None
    assert spearman([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) is None
    assert spearman([1.0, None], [2.0, 3.0]) is None


def test_only_items_with_both_numbers_count() -> None:
    with_gaps = spearman([1.0, 2.0, None, 4.0, 3.0, 7.0], [2.0, 1.0, 9.0, 3.0, 4.0, None])
    assert with_gaps == spearman([1.0, 2.0, 4.0, 3.0], [2.0, 1.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="same items"):
        spearman([1.0], [1.0, 2.0])
