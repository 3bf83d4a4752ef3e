"""Spearman's rank correlation with a 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from slr.statistics.uncertainty import CONFIDENCE_LEVEL, Estimate

FEWEST_FOR_INTERVAL = 4
"""Smallest number of pairs for which there is an interval, because its width has n - 3 below the root."""


def spearman(first: Sequence[float | None], second: Sequence[float | None]) -> Estimate | None:
    """Compute Spearman's correlation over the items where both numbers are defined.

    The interval is symmetric on Fisher's z scale, with the standard error ``sqrt((1 + r^2 / 2) / (n - 3))``. It is as
    if the items had been drawn at random. Equal numbers share the mean of their ranks.

    Source: Bonett and Wright 2000 (Psychometrika 65).

    Returns:
        The correlation; without an interval where it is 1 or -1 or n is below 4; None if there are fewer than two
        items, or one of the two has equal numbers only.

    Raises:
        ValueError: if the two do not have one number for each of the same items.
    """
    if len(first) != len(second):
        raise ValueError(f"a correlation needs the same items: got {len(first)} and {len(second)} numbers")
    both = [(x, y) for x, y in zip(first, second, strict=True) if x is not None and y is not None]
    ranks = [_ranks(np.array(column)) for column in zip(*both, strict=True)]
    if len(both) < 2 or any(np.ptp(of_column) == 0 for of_column in ranks):
        return None
    value = float(np.corrcoef(ranks[0], ranks[1]).item(1))
    if len(both) < FEWEST_FOR_INTERVAL or math.isclose(abs(value), 1):
        return Estimate(value, None, None, len(both))
    reach = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)
    half = reach * math.sqrt((1 + value**2 / 2) / (len(both) - 3))
    # On this scale the spread hardly depends on the correlation itself.
    middle = math.atanh(value)
    return Estimate(value, math.tanh(middle - half), math.tanh(middle + half), len(both))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1; equal numbers share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[places]
