from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from slr.metrics.pass_at_k import pass_at_k, pass_at_k_curve


@pytest.mark.parametrize("num_samples", [1, 2, 5, 7])
def test_is_the_share_of_subsets_with_a_right_sample(num_samples: int) -> None:
    for num_right in range(num_samples + 1):
        for k in range(1, num_samples + 1):
            subsets = list(combinations(range(num_samples), k))
            expected = sum(min(subset) < num_right for subset in subsets) / len(subsets)
            assert pass_at_k(num_samples, num_right, k) == pytest.approx(expected, abs=1e-14)


def test_known_values() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3, abs=1e-15)
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6, abs=1e-15)
    assert pass_at_k(100, 0, 50) == 0.0
    assert pass_at_k(100, 51, 50) == 1.0


@pytest.mark.parametrize("num_right", [1, 17, 5_000, 9_990])
@pytest.mark.parametrize("k", [1, 2, 100, 9_000])
def test_stable_for_many_samples(num_right: int, k: int) -> None:
    none_right = stats.hypergeom.pmf(0, 10_000, num_right, k)
    assert pass_at_k(10_000, num_right, k) == pytest.approx(1 - none_right, abs=1e-9)
    # Symmetric: a right sample among the k drawn, or a drawn one among the right.
    assert pass_at_k(10_000, num_right, k) == pass_at_k(10_000, k, num_right)


@pytest.mark.parametrize(("num_samples", "num_right"), [(1, 0), (1, 1), (6, 0), (6, 2), (6, 6), (1_000, 7)])
def test_curve_holds_every_k(num_samples: int, num_right: int) -> None:
    expected = [pass_at_k(num_samples, num_right, k) for k in range(1, num_samples + 1)]
    curve = pass_at_k_curve(num_samples, num_right)
    assert curve == pytest.approx(np.array(expected), abs=1e-13)
    assert (np.diff(curve) >= 0).all()


@pytest.mark.parametrize(
    ("num_samples", "num_right", "k", "said"),
    [
        (0, 0, 1, "num_samples is 0"),
        (5, 6, 1, "num_right is 6: expected 0 to num_samples, 5"),
        (5, -1, 1, "num_right is -1"),
        (5, 2, 0, "k is 0"),
        (5, 2, 6, "k is 6: expected 1 to the number of samples, 5"),
    ],
)
def test_refuses_impossible_numbers(num_samples: int, num_right: int, k: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pass_at_k(num_samples, num_right, k)


def test_curve_refuses_impossible_numbers() -> None:
    with pytest.raises(ValueError, match="num_samples is 0"):
        pass_at_k_curve(0, 0)
    with pytest.raises(ValueError, match="num_right is 3"):
        pass_at_k_curve(2, 3)
