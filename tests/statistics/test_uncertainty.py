from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from experiments.interval_coverage import EXTREME, PRINTED, REQUIRED
from slr.statistics.interval_coverage import (
    Distribution,
    bca,
    coverage,
    normal,
    percentile,
    printed,
    student_t,
    zero_one,
)
from slr.statistics.uncertainty import (
    T_LEVEL,
    Estimate,
    estimate_difference,
    estimate_mean,
    estimate_ratio,
    holm,
    paired_p_value,
)


def test_interval_by_hand() -> None:
    """Mean 3 and standard deviation sqrt(2.5) of five; t of 97% with four degrees of freedom is 3.2976 in tables."""
    estimate = estimate_mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert estimate is not None
    assert (estimate.mean, estimate.n) == (3.0, 5)
    assert estimate.low == pytest.approx(3 - 3.2976 * (2.5 / 5) ** 0.5, abs=1e-4)
    assert estimate.high == pytest.approx(3 + 3.2976 * (2.5 / 5) ** 0.5, abs=1e-4)


@pytest.mark.parametrize("size", [4, 17, 100, 3000])
def test_interval_against_scipy(size: int) -> None:
    values = np.random.default_rng(size).lognormal(0.0, 0.5, size)
    estimate = estimate_mean(list(values))
    assert estimate is not None
    low, high = stats.t.interval(0.97, size - 1, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize("distribution", [*REQUIRED, zero_one(0.9)], ids=lambda of: of.name)
@pytest.mark.parametrize("n", [4, 6, 13, 40])
def test_printed_intervals_hold_the_true_mean(distribution: Distribution, n: int) -> None:
    """In 93% of the cases, but for two standard errors of the simulation; the full one is an experiment."""
    found = coverage(printed, distribution, n, 1500, np.random.default_rng(n))
    assert found is None or found.covered >= 0.93 - 2 * (0.93 * 0.07 / (1500 * (1 - found.without))) ** 0.5


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_coverage_of_0_1_outcomes_by_counting(p: float) -> None:
    """Exactly, at every n up to 130: of so few different samples the chance of each is known."""
    for n in range(5, 131):
        estimates = [estimate_mean([1.0] * ones + [0.0] * (n - ones)) for ones in range(n + 1)]
        ends = np.array([(e.low, e.high) if e else (None, None) for e in estimates], dtype=np.float64)
        given = np.isfinite(ends[:, 0])
        chances = stats.binom.pmf(np.arange(n + 1), n, p)
        held = (ends[:, 0] <= p) & (p <= ends[:, 1])
        assert not given.any() or chances[held].sum() / chances[given].sum() >= 0.93, n


def test_the_simulation_finds_what_does_not_hold() -> None:
    """The percentile bootstrap of five normal values has 0.83, Student's t has its 0.95."""
    found = [coverage(of, normal(), 5, 4000, np.random.default_rng(0)) for of in (percentile, student_t)]
    assert [cell.covered for cell in found if cell] == [
        pytest.approx(0.83, abs=0.02),
        pytest.approx(0.95, abs=0.012),
    ]


def test_simulated_methods_against_scipy() -> None:
    values = np.random.default_rng(3).lognormal(0.0, 1.0, 30)
    for method, name in ((percentile, "percentile"), (bca, "BCa")):
        low, high = method(values[None])
        of_scipy = stats.bootstrap((values,), np.mean, method=name, rng=np.random.default_rng(1))
        expected = of_scipy.confidence_interval
        width = expected.high - expected.low
        assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=0.07 * width)


@pytest.mark.parametrize("distribution", [*REQUIRED, *EXTREME], ids=lambda of: of.name)
@pytest.mark.parametrize("n", [2, 3, 4, 7, 30, 150])
def test_what_is_simulated_is_what_is_printed(distribution: Distribution, n: int) -> None:
    samples = distribution.draw(np.random.default_rng(n), (30, n))
    assert np.allclose(PRINTED(samples), printed(samples), equal_nan=True)


@pytest.mark.parametrize("distribution", [*REQUIRED, *EXTREME], ids=lambda of: of.name)
def test_true_means_of_the_distributions(distribution: Distribution) -> None:
    drawn = distribution.draw(np.random.default_rng(0), (500, 200))
    assert drawn.mean() == pytest.approx(distribution.mean, abs=5 * drawn.std() / 100_000**0.5)


def test_same_values_same_interval() -> None:
    assert estimate_mean([0.1, 0.5, 0.9]) == estimate_mean([0.1, 0.5, 0.9])


def test_undefined_values_are_left_out_and_not_counted() -> None:
    assert estimate_mean([None, 1.0, None, 2.0, 4.0, 5.0]) == estimate_mean([1.0, 2.0, 4.0, 5.0])
    assert estimate_mean([None, 0.5, None, 1.0]) == Estimate(0.75, None, None, 2)


def test_nothing_defined_gives_nothing() -> None:
    assert estimate_mean([]) is None
    assert estimate_mean([None, None]) is None


@pytest.mark.parametrize(
    "values",
    [
        [0.25],
        [0.1, 0.2, 0.3],
        [0.0] * 50,
        [1.0] * 500,
        [0.0] * 20 + [0.3, 0.4],
        [1.0] * 30 + [0.0] * 2,
        [0.5 + 1e-16, 0.5, 0.5 - 1e-16, 0.5, 0.5 + 2e-16, 0.5],
    ],
)
def test_values_that_do_not_show_their_spread_have_no_interval(values: list[float]) -> None:
    assert estimate_mean(values) == Estimate(float(np.mean(values)), None, None, len(values))


@pytest.mark.parametrize(
    "values", [[0.1, 0.2, 0.3, 0.4], [0.0] * 20 + [0.3, 0.4, 0.5], [1.0] * 30 + [0.0] * 3]
)
def test_three_values_that_differ_are_enough(values: list[float]) -> None:
    estimate = estimate_mean(values)
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.mean < estimate.high


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_mean(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"finite values: got {wrong}; give None"):
        estimate_mean([1.0, wrong])
    with pytest.raises(ValueError, match="finite values"):
        estimate_difference([1.0, wrong], [1.0, 1.0])


def test_difference_is_paired() -> None:
    # The prompts differ much more from each other than the two models do on any one of them.
    reference = [0.0, 10.0, 20.0, 30.0]
    values = [1.0, 12.0, 23.0, 34.0]
    estimate, alone = estimate_difference(values, reference), estimate_mean([1.0, 2.0, 3.0, 4.0])
    assert estimate == alone
    # Equal but for the rounding of each subtraction.
    equal = estimate_difference([0.3, 0.7, 1.1, 100.1], [0.2, 0.6, 1.0, 100.0])
    assert equal is not None
    assert (equal.mean, equal.low) == (pytest.approx(0.1), None)
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
    """Means 10 and 10; residuals (-1, -0.5, 2, 0.5, -1); t(0.985, 4) = 3.297630, and t^2 / (5 x 4) = 0.543718."""
    ratio = estimate_ratio([8, 9.5, 13, 10.5, 9], [9, 10, 11, 10, 10])
    assert ratio is not None
    assert (ratio.mean, ratio.n) == (1.0, 5)
    square = 100 - 0.543718 * 2
    half = (0.543718**2 * 3**2 + square * 0.543718 * 6.5) ** 0.5
    assert ratio.low == pytest.approx(1 + (-0.543718 * 3 - half) / square, abs=1e-6)
    assert ratio.high == pytest.approx(1 + (-0.543718 * 3 + half) / square, abs=1e-6)
    assert (ratio.low, ratio.high) == pytest.approx((0.7938, 1.1733), abs=1e-4)


def test_a_ratio_at_an_end_of_its_interval_has_a_t_test_of_3_percent() -> None:
    rng = np.random.default_rng(5)
    reference = rng.beta(6, 0.5, 40)
    values = reference * rng.beta(5, 1, 40)
    ratio = estimate_ratio(tuple(values), tuple(reference))
    assert ratio is not None
    for end in (ratio.low, ratio.high):
        assert end is not None
        _, p_value = stats.ttest_1samp(values - end * reference, 0)
        assert p_value == pytest.approx(1 - T_LEVEL)


def test_values_in_proportion_do_not_show_their_spread() -> None:
    reference = [0.3, 0.7, 0.9, 1.0]
    assert estimate_ratio(reference, reference) == Estimate(1.0, None, None, 4)
    half = estimate_ratio([value / 2 for value in reference], reference)
    assert half == Estimate(0.5, None, None, 4)


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
