"""Means over prompts with 95% intervals, by resampling prompts; differences between models are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE_LEVEL = 0.95
NUM_RESAMPLES = 9999
BOOTSTRAP_SEED = 20260206


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
            result counts the defined ones.

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
    if len(values) != len(reference):
        raise ValueError(
            "a paired difference needs the same prompts on both sides: "
            f"got {len(values)} and {len(reference)} values"
        )
    return estimate_mean(
        [
            None if value is None or other is None else value - other
            for value, other in zip(values, reference, strict=True)
        ]
    )
