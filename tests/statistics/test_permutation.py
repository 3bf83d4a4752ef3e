"""The permutation test against all divisions of a few answers, and on draws from known distributions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slr.statistics.permutation import permutation_test


def test_permutation_p_value_against_all_divisions() -> None:
    answers = [["a"], ["a"], ["b"], ["a"], ["c"], ["b"], ["c"], ["c"]]
    test = permutation_test(answers[:4], answers[4:], seed=0)

    def plain(group: tuple[int, ...]) -> float:
        others = [place for place in range(8) if place not in group]
        shares = [[sum(answers[p] == [x] for p in places) / 4 for x in "abc"] for places in (group, others)]
        return sum(abs(a - b) for a, b in zip(*shares, strict=True)) / 2

    every = np.array([plain(group) for group in itertools.combinations(range(8), 4)])
    assert test.distance == pytest.approx(plain((0, 1, 2, 3)))
    assert test.by_chance == pytest.approx(every.mean(), abs=0.01)
    assert test.p_value == pytest.approx((every >= test.distance - 1e-9).mean(), abs=0.02)


def test_agreement_is_told_from_difference() -> None:
    draws = np.random.default_rng(0)
    first, second = ([[str(x)] for x in draws.choice(4, size=200, p=[0.4, 0.3, 0.2, 0.1])] for _ in range(2))
    other = [[str(x)] for x in draws.choice(4, size=200, p=[0.1, 0.2, 0.3, 0.4])]
    assert permutation_test(first, second, seed=0).p_value > 0.05
    assert permutation_test(first, other, seed=0).p_value == 1 / 10_000
