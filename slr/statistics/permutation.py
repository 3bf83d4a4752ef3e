"""Whether two groups of answers come from one distribution, by a permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_PERMUTATIONS = 9999


@dataclass(frozen=True, kw_only=True)
class PermutationTest:
    """How far two groups are apart, against how far they are when answers are divided at random.

    ``distance`` is the total variation distance of what was counted in the groups, from 0 to 1; ``by_chance`` its mean
    over random divisions; ``p_value`` the share of divisions that are as far apart.
    """

    distance: float
    by_chance: float
    p_value: float


def permutation_test(
    first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], seed: int
) -> PermutationTest:
    """Test whether two groups of answers come from one distribution.

    Args:
        first: for each answer of the first group, the parts of it that are counted.
        second: the same for the second group.
        seed: of the random divisions.
    """
    parts = dict.fromkeys(part for answer in (*first, *second) for part in answer)
    columns = {part: column for column, part in enumerate(parts)}
    counts_SN = np.zeros((len(first) + len(second), max(1, len(columns))))
    for row, answer in enumerate((*first, *second)):
        for part in answer:
            counts_SN[row, columns[part]] += 1
    in_first_S = np.arange(len(counts_SN)) < len(first)
    at_random_PS = np.random.default_rng(seed).permuted(np.tile(in_first_S, (NUM_PERMUTATIONS, 1)), axis=1)
    distance = float(_distances(in_first_S[None], counts_SN)[0])
    by_chance_P = _distances(at_random_PS, counts_SN)
    # The division that was found counts as one of them. Equal distances may differ in their last bits.
    as_far = int((by_chance_P >= distance - 1e-9).sum())
    return PermutationTest(
        distance=distance,
        by_chance=float(by_chance_P.mean()),
        p_value=(as_far + 1) / (NUM_PERMUTATIONS + 1),
    )


def _distances(in_first_PS: NDArray[np.bool_], counts_SN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total variation distance between the two groups of each division P of the samples S, by parts N."""
    first_PN, second_PN = in_first_PS @ counts_SN, ~in_first_PS @ counts_SN
    first_PN /= np.maximum(first_PN.sum(axis=1, keepdims=True), 1)
    second_PN /= np.maximum(second_PN.sum(axis=1, keepdims=True), 1)
    return np.abs(first_PN - second_PN).sum(axis=1) / 2
