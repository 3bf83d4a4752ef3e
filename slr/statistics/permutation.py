"""A permutation test of whether two groups of answers come from one distribution.

Shape letters: X answers of both groups, M different parts that are counted, B random divisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_PERMUTATIONS = 9999
"""Number of random divisions of the answers."""


@dataclass(frozen=True, kw_only=True)
class PermutationTest:
    """The distance of two groups, and the distances of random divisions of the same answers.

    Attributes:
        distance: total variation distance of the counted parts in the two groups, in [0, 1].
        by_chance: mean distance over random divisions.
        p_value: share of the divisions whose groups are at least as far apart.
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
        second: for each answer of the second group, the parts of it that are counted.
        seed: seed of the random divisions.
    """
    parts = dict.fromkeys(part for answer in (*first, *second) for part in answer)
    columns = {part: column for column, part in enumerate(parts)}
    counts_XM = np.zeros((len(first) + len(second), max(1, len(columns))))
    for row, answer in enumerate((*first, *second)):
        for part in answer:
            counts_XM[row, columns[part]] += 1
    in_first_X = np.arange(len(counts_XM)) < len(first)
    at_random_BX = np.random.default_rng(seed).permuted(np.tile(in_first_X, (NUM_PERMUTATIONS, 1)), axis=1)
    distance = float(_distances(in_first_X[None], counts_XM)[0])
    by_chance_B = _distances(at_random_BX, counts_XM)
    # The division that was found counts as one of all. Equal distances may differ in their last bits.
    as_far = int((by_chance_B >= distance - 1e-9).sum())
    return PermutationTest(
        distance=distance,
        by_chance=float(by_chance_B.mean()),
        p_value=(as_far + 1) / (NUM_PERMUTATIONS + 1),
    )


def _distances(in_first_BX: NDArray[np.bool_], counts_XM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the total variation distance between the two groups of each division, shape (B,)."""
    first_BM, second_BM = in_first_BX @ counts_XM, ~in_first_BX @ counts_XM
    first_BM /= np.maximum(first_BM.sum(axis=1, keepdims=True), 1)
    second_BM /= np.maximum(second_BM.sum(axis=1, keepdims=True), 1)
    return np.abs(first_BM - second_BM).sum(axis=1) / 2
