from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from slr.uncertainty import (
    LARGE_SAMPLE,
    Estimate,
    estimate_difference,
    estimate_mean,
    estimate_ratio,
    holm,
    paired_p_value,
)


def test_mean_and_interval_of_random_values() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, size=400)
    estimate = estimate_mean(list(values))
    assert estimate is not None
    assert estimate.mean == pytest.approx(values.mean(), abs=1e-12)
    assert estimate.low is not None
    assert estimate.high is not None
    normal_half_width = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert estimate.high - estimate.mean == pytest.approx(normal_half_width, rel=0.1)
    assert estimate.mean - estimate.low == pytest.approx(normal_half_width, rel=0.1)


def test_of_very_many_values_the_interval_is_the_bootstraps() -> None:
    values = np.random.default_rng(0).choice([0.0, 1.0], size=LARGE_SAMPLE, p=[0.3, 0.7])
    estimate = estimate_mean(list(values))
    assert estimate is not None
    interval = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    width = interval.high - interval.low
    assert estimate.low == pytest.approx(interval.low, abs=0.03 * width)
    assert estimate.high == pytest.approx(interval.high, abs=0.03 * width)


def test_same_values_same_interval() -> None:
    assert estimate_mean([0.1, 0.5, 0.9]) == estimate_mean([0.1, 0.5, 0.9])


def test_undefined_values_are_left_out_and_not_counted() -> None:
    assert estimate_mean([None, 0.5, None, 0.5]) == Estimate(0.5, 0.5, 0.5, 2)


def test_nothing_defined_gives_nothing() -> None:
    assert estimate_mean([]) is None
    assert estimate_mean([None, None]) is None


def test_one_value_has_no_interval() -> None:
    assert estimate_mean([0.25]) == Estimate(0.25, None, None, 1)


def test_difference_is_paired() -> None:
    # The prompts differ much more from each other than the two models do on any one of them.
    reference = [0.0, 10.0, 20.0, 30.0]
    values = [1.0, 11.0, 21.0, 31.0]
    assert estimate_difference(values, reference) == Estimate(1.0, 1.0, 1.0, 4)
    assert estimate_difference([None, 2.0, 2.0], [1.0, None, 1.0]) == Estimate(1.0, None, None, 1)


def test_difference_needs_the_same_prompts() -> None:
    with pytest.raises(ValueError, match="got 2 and 3 values"):
        estimate_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_p_value_counts_the_signs_that_give_as_large_a_mean() -> None:
    # Of the 32 ways to flip five equal differences, two give a mean as large in size.
    assert paired_p_value([2.0] * 5, [1.0] * 5) == pytest.approx(2 / 32)
    assert paired_p_value([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1.0
    assert paired_p_value([1.0, None], [0.0, 0.0]) is None
    with pytest.raises(ValueError, match="same prompts on both sides"):
        paired_p_value([1.0], [1.0, 2.0])


def test_p_value_against_all_flips_by_brute_force() -> None:
    differences = [0.3, -0.1, 0.7, 0.2, 0.05, -0.4]
    means = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=6)
    ]
    expected = sum(mean >= abs(sum(differences)) - 1e-12 for mean in means) / 64
    assert paired_p_value(differences, [0.0] * 6) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "tolerance"), [(7, 1e-12), (12, 1e-12), (40, 0.02)])
def test_p_value_against_scipy(size: int, tolerance: float) -> None:
    """Exactly where all flips are counted; by chance a little off where both draw their own."""
    differences = np.random.default_rng(size).normal(0.25, 1.0, size)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=9999, rng=1
    ).pvalue
    assert paired_p_value(list(differences), [0.0] * size) == pytest.approx(expected, abs=tolerance)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        None,
        pytest.approx(0.06),
    ]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_ratio_by_hand() -> None:
    """Means 10 and 10; residuals (-1, -1, 2); t(0.975, 2) = 4.302653, and t^2 / (3 x 2) = 3.085470."""
    ratio = estimate_ratio([8, 9, 13], [9, 10, 11])
    assert ratio is not None
    assert (ratio.mean, ratio.n) == (1.0, 3)
    square = 100 - 3.085470 * 2
    half = (3.085470**2 * 3**2 + square * 3.085470 * 6) ** 0.5
    assert ratio.low == pytest.approx(1 + (-3.085470 * 3 - half) / square, abs=1e-6)
    assert ratio.high == pytest.approx(1 + (-3.085470 * 3 + half) / square, abs=1e-6)
    assert (ratio.low, ratio.high) == pytest.approx((0.4463, 1.3564), abs=1e-4)


def test_a_ratio_at_an_end_of_its_interval_has_a_t_test_of_5_percent() -> None:
    rng = np.random.default_rng(5)
    reference = rng.beta(6, 0.5, 40)
    values = reference * rng.beta(5, 1, 40)
    ratio = estimate_ratio(tuple(values), tuple(reference))
    assert ratio is not None
    for end in (ratio.low, ratio.high):
        assert end is not None
        _, p_value = stats.ttest_1samp(values - end * reference, 0)
        assert p_value == pytest.approx(0.05)


def test_values_in_proportion_have_a_ratio_without_doubt() -> None:
    reference = [0.3, 0.7, 0.9, 1.0]
    assert estimate_ratio(reference, reference) == Estimate(1.0, 1.0, 1.0, 4)
    half = estimate_ratio([value / 2 for value in reference], reference)
    assert half == Estimate(0.5, 0.5, 0.5, 4)


def test_a_ratio_is_of_the_pairs_that_are_defined() -> None:
    some = estimate_ratio([0.2, None, 0.6, 0.5], [0.4, 0.9, 0.8, None])
    assert some == estimate_ratio([0.2, 0.6], [0.4, 0.8])
    assert some is not None
    assert (some.mean, some.n) == (pytest.approx(0.8 / 1.2), 2)


@pytest.mark.parametrize(
    ("values", "reference"), [([], []), ([None], [0.5]), ([0.5, 0.5], [0.0, 0.0]), ([1.0, 2.0], [0.5, -1.0])]
)
def test_no_ratio_to_nothing(values: list[float | None], reference: list[float | None]) -> None:
    assert estimate_ratio(values, reference) is None


def test_no_interval_where_the_denominator_is_not_clearly_above_zero() -> None:
    """Mean 0.25 and standard error 0.25, so a t of 1."""
    assert estimate_ratio([0, 0, 0, 0.5], [0, 0, 0, 1]) == Estimate(0.5, None, None, 4)
    assert estimate_ratio([0.2], [0.4]) == Estimate(0.5, None, None, 1)


def test_a_ratio_needs_the_same_prompts() -> None:
    with pytest.raises(ValueError, match="paired ratio needs the same prompts on both sides: got 2 and 1"):
        estimate_ratio([1, 2], [1])


def test_intervals_of_ratios_hold_the_true_one_19_times_in_20() -> None:
    """Skewed as validities are; a beta distribution's mean is known, and here that of the shares is the ratio."""
    rng = np.random.default_rng(6)
    true = 3 / (3 + 0.6)
    held = 0
    for _ in range(500):
        reference = rng.beta(6, 0.5, 40)
        ratio = estimate_ratio(tuple(reference * rng.beta(3, 0.6, 40)), tuple(reference))
        assert ratio is not None
        assert ratio.low is not None
        assert ratio.high is not None
        held += ratio.low <= true <= ratio.high
    assert 0.92 <= held / 500 <= 0.98
