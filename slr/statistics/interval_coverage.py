"""Simulation of how often 95% intervals of a mean hold the true mean.

It has distributions like our data, methods to compute intervals, and the counting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slr.statistics.uncertainty import CONFIDENCE_LEVEL, estimate_mean

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
Method = Callable[[Array], tuple[Array, Array]]
"""Function from samples (repeats, n) to the low and high ends of their intervals, shape (repeats,); nan for none."""

NUM_RESAMPLES = 999
"""Number of bootstrap resamples."""
RESAMPLE_SEED = 20260206
"""Seed of the resamples, which are the same for all samples of one size."""
TAIL = (1 - CONFIDENCE_LEVEL) / 2
"""Probability on each side of an interval."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution of the values of prompts, with its true mean."""

    name: str
    mean: float
    draw: Draw
    is_proportion: bool = False
    """Whether values lie in [0, 1], so that methods for proportions apply."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Counts of one method at one n, as shares of the simulated samples."""

    covered: float
    """Share of the given intervals that hold the true mean."""
    without: float
    """Share of samples for which the method gives no interval."""
    width: float
    """Median width of an interval, in the unit of the values."""


def coverage(
    method: Method, distribution: Distribution, n: int, repeats: int, rng: np.random.Generator
) -> Coverage | None:
    """Draw samples and count how often the intervals of a method hold the true mean.

    Args:
        method: computes the intervals.
        distribution: what the values are drawn from.
        n: number of values in a sample.
        repeats: number of samples.
        rng: generator of the samples.

    Returns:
        The counts; None if the method never gives an interval.
    """
    low, high = method(distribution.draw(rng, (repeats, n)))
    given = np.isfinite(low) & np.isfinite(high)
    if not given.any():
        return None
    low, high = low[given], high[given]
    return Coverage(
        covered=float(((low <= distribution.mean) & (distribution.mean <= high)).mean()),
        without=1 - float(given.mean()),
        width=float(np.median(high - low)),
    )


def normal(mean: float = 0.0, sd: float = 1.0) -> Distribution:
    """Make a normal distribution."""
    return Distribution(name="normal", mean=mean, draw=lambda rng, shape: rng.normal(mean, sd, shape))


def lognormal(sigma: float) -> Distribution:
    """Make the distribution of exponentials of normal values with standard deviation sigma."""
    return Distribution(
        name=f"lognormal, sigma {sigma:g}",
        mean=float(np.exp(sigma**2 / 2)),
        draw=lambda rng, shape: rng.lognormal(0.0, sigma, shape),
    )


def exponential() -> Distribution:
    """Make an exponential distribution, which has skewness 2."""
    return Distribution(name="exponential", mean=1.0, draw=lambda rng, shape: rng.exponential(1.0, shape))


def beta(a: float, b: float) -> Distribution:
    """Make a beta distribution."""
    return Distribution(
        name=f"beta({a:g}, {b:g})",
        mean=a / (a + b),
        draw=lambda rng, shape: rng.beta(a, b, shape),
        is_proportion=True,
    )


def zero_one(p: float) -> Distribution:
    """Make a distribution that is 1 with probability p, and 0 otherwise."""
    return Distribution(
        name=f"0/1, p {p:g}",
        mean=p,
        draw=lambda rng, shape: (rng.random(shape) < p).astype(np.float64),
        is_proportion=True,
    )


def with_mass(share: float, at: float, other: Distribution) -> Distribution:
    """Make a mixture in which some values are exactly ``at``.

    Args:
        share: share of the values that are exactly ``at``.
        at: the value that these have.
        other: distribution of the other values.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        return np.where(rng.random(shape) < share, at, other.draw(rng, shape))

    return Distribution(
        name=f"{share:g} exactly {at:g}, else {other.name}",
        mean=share * at + (1 - share) * other.mean,
        draw=draw,
        is_proportion=other.is_proportion,
    )


def student_t(samples: Array, level: float = CONFIDENCE_LEVEL) -> tuple[Array, Array]:
    """Compute Student's t intervals of the mean; none where all values are equal."""
    from scipy.special import stdtrit

    n = samples.shape[1]
    mean = samples.mean(axis=1)
    error = samples.std(axis=1, ddof=1) / np.sqrt(n)
    half = stdtrit(n - 1, (1 + level) / 2) * np.where(np.ptp(samples, axis=1) > 0, error, np.nan)
    return mean - half, mean + half


def logit_t(samples: Array) -> tuple[Array, Array]:
    """Compute Student's t intervals of the logit of a mean of proportions, by the delta method.

    The intervals never reach beyond 0 and 1.
    """
    from scipy.special import expit, logit

    mean = samples.mean(axis=1)
    low, high = student_t(samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = (high - low) / 2 / (mean * (1 - mean))
        return expit(logit(mean) - half), expit(logit(mean) + half)


def percentile(samples: Array) -> tuple[Array, Array]:
    """Compute percentile bootstrap intervals; none where all values are equal.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    low, high = np.quantile(samples @ _resamples(samples.shape[1]), (TAIL, 1 - TAIL), axis=1)
    return _unless_equal(samples, low, high)


def bca(samples: Array) -> tuple[Array, Array]:
    """Compute bias-corrected and accelerated bootstrap intervals.

    Source: Efron and Tibshirani 1993, chapter 14.
    """
    from scipy.special import ndtr, ndtri

    n = samples.shape[1]
    mean = samples.mean(axis=1, keepdims=True)
    means = np.sort(samples @ _resamples(n), axis=1)
    below = ((means < mean).mean(axis=1) + (means <= mean).mean(axis=1)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = ndtri(below)
        # These are the jackknife's influence values of a mean, up to a factor that cancels.
        deviations = samples - mean
        acceleration = (deviations**3).sum(axis=1) / (6 * (deviations**2).sum(axis=1) ** 1.5)
        ends = []
        for z in (ndtri(TAIL), ndtri(1 - TAIL)):
            shifted = bias + z
            share = ndtr(bias + shifted / (1 - acceleration * shifted))
            rank = np.nan_to_num(share * (NUM_RESAMPLES - 1)).round().astype(int)
            ends.append(np.where(np.isfinite(share), means[np.arange(len(means)), rank], np.nan))
    return _unless_equal(samples, ends[0], ends[1])


def bootstrap_t(samples: Array) -> tuple[Array, Array]:
    """Compute intervals from quantiles of resampled t values in place of Student's.

    There is none where a quantile is infinite because many resamples hold equal values.

    Source: Efron and Tibshirani 1993, section 12.5.
    """
    n = samples.shape[1]
    mean = samples.mean(axis=1, keepdims=True)
    deviations = samples - mean
    errors = samples.std(axis=1, ddof=1) / np.sqrt(n)
    resampled = deviations @ _resamples(n)
    variances = (deviations**2 @ _resamples(n) - resampled**2) / (n - 1)
    tiny = variances <= 1e-12 * (deviations**2).mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(tiny, np.sign(resampled) * np.inf, resampled / np.sqrt(variances))
        values = np.sort(np.where(np.isnan(values), 0.0, values), axis=1)
        first, last = (values[:, round(share * (NUM_RESAMPLES - 1))] for share in (TAIL, 1 - TAIL))
        return _unless_equal(samples, mean[:, 0] - last * errors, mean[:, 0] - first * errors)


def where_enough_differ(method: Method, fewest: int) -> Method:
    """Keep a method's intervals only where enough values differ from the most frequent one.

    Args:
        method: computes the intervals.
        fewest: smallest number of values that must differ.
    """

    def given(samples: Array) -> tuple[Array, Array]:
        low, high = method(samples)
        starts = np.diff(np.sort(samples, axis=1), axis=1) > 0
        # In sorted order equal values form runs, so the longest run is the number of the most frequent value.
        run = longest = np.ones(len(samples))
        for start in starts.T:
            run = np.where(start, 1, run + 1)
            longest = np.maximum(longest, run)
        enough = samples.shape[1] - longest >= fewest
        return np.where(enough, low, np.nan), np.where(enough, high, np.nan)

    return given


def printed(samples: Array) -> tuple[Array, Array]:
    """Compute what ``slr.statistics.uncertainty.estimate_mean`` gives, sample by sample."""
    estimates = [estimate_mean(list(sample)) for sample in samples]
    ends = np.array([(e.low, e.high) if e else (None, None) for e in estimates], dtype=np.float64)
    return ends[:, 0], ends[:, 1]


def wider_of(*methods: Method) -> Method:
    """Combine methods: the lowest low end and the highest high end; none where one method gives none."""

    def widest(samples: Array) -> tuple[Array, Array]:
        lows, highs = zip(*(method(samples) for method in methods), strict=True)
        return np.min(lows, axis=0), np.max(highs, axis=0)

    return widest


def lowest_table(
    methods: Mapping[str, tuple[Method, int]],
    distributions: Sequence[Distribution],
    sizes: Sequence[int],
    seed: int,
    fit: float,
    *,
    at_most: int,
) -> str:
    """Write a Markdown table of the lowest coverage over the distributions: a row for each method, a column for each n.

    Args:
        methods: each method with the number of samples to draw for a cell.
        distributions: the distributions, of which the worst counts.
        sizes: numbers of values in a sample.
        seed: seed of all cells; each cell has a generator of its own.
        fit: lowest coverage that is enough; cells that reach it are bold.
        at_most: largest number of samples for a cell, whatever the method says.
    """
    lines = [_line("lowest coverage", sizes), _line("---", ["---:"] * len(sizes))]
    for name, (method, repeats) in methods.items():
        rows = _coverages(method, distributions, sizes, min(repeats, at_most), seed)
        cells = []
        for column in zip(*rows, strict=True):
            lowest = min((cell.covered for cell in column if cell), default=None)
            cells.append(
                "none" if lowest is None else f"**{lowest:.3f}**" if lowest >= fit else f"{lowest:.3f}"
            )
        lines.append(_line(name, cells))
        lines.append(_line(f"{name}: width, {distributions[0].name}", (_width(cell) for cell in rows[0])))
    return "\n".join(lines) + "\n"


def full_table(
    method: Method, distributions: Sequence[Distribution], sizes: Sequence[int], repeats: int, seed: int
) -> str:
    """Write a Markdown table of one method: a row for each distribution, a column for each n.

    Args:
        method: computes the intervals.
        distributions: what the values are drawn from.
        sizes: numbers of values in a sample.
        repeats: number of samples for a cell.
        seed: seed of all cells; each cell has a generator of its own.
    """
    rows = _coverages(method, distributions, sizes, repeats, seed)
    lines = [_line("coverage", sizes), _line("---", ["---:"] * len(sizes))]
    lines += [_line(of.name, map(_shown, row)) for of, row in zip(distributions, rows, strict=True)]
    return "\n".join(lines) + "\n"


def _coverages(
    method: Method,
    distributions: Sequence[Distribution],
    sizes: Sequence[int],
    repeats: int,
    seed: int,
) -> list[list[Coverage | None]]:
    return [
        [coverage(method, of, n, repeats, np.random.default_rng([seed, row, n])) for n in sizes]
        for row, of in enumerate(distributions)
    ]


def _line(first: str, cells: Iterable[object]) -> str:
    return "| " + " | ".join([first, *map(str, cells)]) + " |"


def _width(cell: Coverage | None) -> str:
    return "none" if cell is None else f"{cell.width:.2f}"


def _shown(cell: Coverage | None) -> str:
    """Write the coverage and, if it rounds to 1% or more, the share of samples without an interval in brackets."""
    if cell is None:
        return "none"
    return f"{cell.covered:.3f}" + (f" ({cell.without:.0%})" if cell.without >= 0.005 else "")


def _resamples(n: int) -> Array:
    """Draw how often each of n values is in each resample, divided by n: shape (n, resamples)."""
    return np.random.default_rng(RESAMPLE_SEED).multinomial(n, [1 / n] * n, NUM_RESAMPLES).T / n


def _unless_equal(samples: Array, low: Array, high: Array) -> tuple[Array, Array]:
    equal = np.ptp(samples, axis=1) == 0
    return np.where(equal, np.nan, low), np.where(equal, np.nan, high)
