"""Choices of an interval by other prompts and other rules, computed from per-prompt scores for many draws at once.

A *draw* says how often each selection prompt counts. A bootstrap draw is one, and so is "letters only". The choice of a
draw is the one that ``slr.crc.selection.select`` makes of prompts repeated that often. Here it takes a few matrix
products for all draws together.

Shape letters: I intervals, P prompts, D draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slr.crc.selection import SelectionRule
from slr.intervals import LayerInterval
from slr.runs.records import CrcScore
from slr.statistics.uncertainty import T_LEVEL, t_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE_CHOSEN = -1
"""Index of the choice where no interval is valid enough, so that the instruct model stays as it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalScores:
    """CRC scores of every interval on one set of prompts. NaN is undefined.

    Attributes:
        validity_IP: validity of each hybrid, in [0, 1].
        diversity_IP: diversity of each hybrid, in [0, 1].
        instruct_validity_P: validity of the instruct model, in [0, 1].
        instruct_diversity_P: diversity of the instruct model, in [0, 1].
    """

    validity_IP: Floats
    diversity_IP: Floats
    instruct_validity_P: Floats
    instruct_diversity_P: Floats

    @classmethod
    def from_records(
        cls,
        intervals: Sequence[LayerInterval],
        hybrids: Mapping[LayerInterval, CrcScore],
        instruct: CrcScore,
    ) -> IntervalScores:
        """Arrange records.

        Args:
            intervals: the I intervals in the order of ties: the smallest change first.
            hybrids: scores of each interval.
            instruct: scores of the instruct model, on the same prompts.
        """

        def rows(values: Sequence[object]) -> Floats:
            return np.array(values, dtype=np.float64)  # None becomes NaN

        return cls(
            validity_IP=rows([hybrids[i].validity for i in intervals]),
            diversity_IP=rows([hybrids[i].diversity for i in intervals]),
            instruct_validity_P=rows(instruct.validity),
            instruct_diversity_P=rows(instruct.diversity),
        )

    @property
    def gains(self) -> Floats:
        """Diversity of each hybrid less the instruct model's on each prompt, shape (I, P)."""
        return self.diversity_IP - self.instruct_diversity_P

    @property
    def validity_ratios(self) -> Floats:
        """Mean validity of each hybrid over the instruct model's, shape (I,)."""
        return self.validity_IP.mean(axis=1) / self.instruct_validity_P.mean()


def sample_prompts(
    strata: Sequence[str], size: int, num_draws: int, rng: np.random.Generator, within: Ints | None = None
) -> Ints:
    """Draw prompts with replacement, equally many from each stratum.

    They are drawn with replacement, so that a draw of all prompts is a bootstrap draw and not the prompts themselves.

    Args:
        strata: stratum of each prompt.
        size: number of prompts in a draw. If it is no multiple of the number of strata, random strata have one more.
        num_draws: number of draws D.
        rng: source of randomness.
        within: how often each prompt counts in a draw of its own, shape (P,), from which is drawn again; None to draw
            from the prompts.

    Returns:
        How often each prompt counts, shape (D, P).
    """
    weights_P = np.ones(len(strata)) if within is None else within
    names = sorted(set(strata))
    each, more = divmod(size, len(names))
    sizes_S = np.array([each + 1] * more + [each] * (len(names) - more))
    sizes_DS = rng.permuted(np.tile(sizes_S, (num_draws, 1)), axis=1)
    counts_DP = np.zeros((num_draws, len(strata)), dtype=np.int64)
    for column, name in enumerate(names):
        members = [index for index, stratum in enumerate(strata) if stratum == name]
        shares = weights_P[members] / weights_P[members].sum()
        counts_DP[:, members] = rng.multinomial(sizes_DS[:, column], shares)
    return counts_DP


def choose(scores: IntervalScores, counts_DP: Ints, rule: SelectionRule) -> Ints:
    """Choose an interval for each draw.

    Args:
        scores: scores of the intervals on the selection prompts.
        counts_DP: how often each prompt counts; all draws have the same number of prompts.
        rule: the rule of the choice.

    Returns:
        Index of the chosen interval, shape (D,); ``NONE_CHOSEN`` where none is valid enough.
    """
    # A sum with NaN is NaN, and no comparison with it holds: where logits are not finite, nothing is admitted.
    if rule.margin:
        is_admitted_DI = _ratio_low(scores, counts_DP) >= rule.min_validity_ratio
    else:
        least_D = rule.min_validity_ratio * (counts_DP @ scores.instruct_validity_P)
        is_admitted_DI = counts_DP @ scores.validity_IP.T >= least_D[:, None]
    is_defined_IP = ~np.isnan(scores.diversity_IP)
    num_defined_DI = counts_DP @ is_defined_IP.T.astype(np.float64)
    sum_DI = counts_DP @ np.where(is_defined_IP, scores.diversity_IP, 0.0).T
    diversity_DI = np.where(
        is_admitted_DI & (num_defined_DI > 0), sum_DI / np.maximum(num_defined_DI, 1), -np.inf
    )
    # Of equal ones ``argmax`` takes the first, which is the smallest change.
    return np.where(np.isneginf(diversity_DI).all(axis=1), NONE_CHOSEN, diversity_DI.argmax(axis=1))


def _ratio_low(scores: IntervalScores, counts_DP: Ints) -> Floats:
    """Compute the lower end of the 95% interval of each validity ratio.

    It is the one that ``estimate_ratio`` gives, unless only one or two of the values differ, where that gives none.

    Returns:
        The lower ends, shape (D, I); -inf where there is none.
    """
    above_IP, below_P = scores.validity_IP, scores.instruct_validity_P
    num = int(counts_DP[0].sum())
    if num < 2:
        return np.full((len(counts_DP), len(above_IP)), -np.inf)
    below_D1 = (counts_DP @ below_P)[:, None] / num
    squares_below_D1 = (counts_DP @ below_P**2)[:, None]
    products_DI = counts_DP @ (above_IP * below_P).T
    ratio_DI = counts_DP @ above_IP.T / num / below_D1
    # With residuals r = above - ratio * below, these are the sums of r**2 and of r * (below - its mean).
    squares_DI = counts_DP @ (above_IP**2).T - 2 * ratio_DI * products_DI + ratio_DI**2 * squares_below_D1
    mixed_DI = products_DI - ratio_DI * squares_below_D1
    scale = t_quantile(num, T_LEVEL) ** 2 / (num * (num - 1))
    square_D1 = below_D1**2 - scale * (squares_below_D1 - num * below_D1**2)
    middle_DI = -scale * mixed_DI
    # Rounding can make a sum of squares slightly negative.
    half_DI = np.sqrt(middle_DI**2 + np.maximum(square_D1 * scale * squares_DI, 0.0))
    low_DI = ratio_DI + (middle_DI - half_DI) / np.where(square_D1 > 0, square_D1, 1.0)
    # Values that are all the same share of instruct's do not show their spread.
    do_differ_DI = squares_DI > 1e-12 * squares_below_D1
    return np.where((square_D1 > 0) & do_differ_DI, low_DI, -np.inf)


def overlap(one: LayerInterval, other: LayerInterval) -> float:
    """Compute the Jaccard index of two intervals' layers: shared layers over layers of either, from 0 to 1."""
    layers, others = set(range(one.start, one.end)), set(range(other.start, other.end))
    return len(layers & others) / len(layers | others)
