"""Intervals are spread over the plane as the rule says, whatever the order of the candidates."""

from __future__ import annotations

import random

import numpy as np

from slr.crc.selection import Candidate
from slr.intervals import LayerInterval, all_intervals
from slr.prediction.spread import spread_intervals


def grid() -> list[Candidate[LayerInterval]]:
    """Candidates on a grid of 6 by 6 in the plane, which is not square before it is scaled."""
    places = [(0.5 + 0.01 * row, 0.1 * column) for row in range(6) for column in range(6)]
    intervals = all_intervals(8)
    return [Candidate(interval, *place) for interval, place in zip(intervals, places, strict=True)]


def places(spread: tuple[Candidate[LayerInterval], ...]) -> list[tuple[int, int]]:
    return [(round((c.validity - 0.5) / 0.01), round((c.diversity or 0) / 0.1)) for c in spread]


def test_the_chosen_one_comes_first_then_the_corners_then_the_farthest() -> None:
    candidates = grid()
    chosen = candidates[6 * 2 + 2].choice
    found = places(spread_intervals(candidates, chosen, 7))
    assert found[0] == (2, 2)
    assert found[1:5] == [(5, 5), (5, 0), (0, 5), (0, 0)]
    every = np.array([(row, column) for row in range(6) for column in range(6)])
    for number in (5, 6):
        before = np.array(found[:number])
        gaps = np.linalg.norm(every[:, None] - before, axis=2).min(axis=1)
        assert gaps[6 * found[number][0] + found[number][1]] == gaps.max()


def test_the_order_of_the_candidates_makes_no_difference() -> None:
    candidates = grid()
    mixed = random.Random(0).sample(candidates, len(candidates))
    assert spread_intervals(mixed, None, 15) == spread_intervals(candidates, None, 15)


def test_no_interval_comes_twice_even_where_all_have_one_place() -> None:
    candidates = [Candidate(interval, 0.5, 0.5) for interval in all_intervals(4)]
    found = spread_intervals(candidates, LayerInterval(1, 2), 20)
    assert found[0].choice == LayerInterval(1, 2)
    assert sorted(c.choice.ends for c in found) == [interval.ends for interval in all_intervals(4)]


def test_an_interval_without_a_diversity_has_no_place() -> None:
    candidates = [Candidate(LayerInterval(0, 1), 0.5, None), Candidate(LayerInterval(1, 2), 0.5, 0.4)]
    assert [c.choice.ends for c in spread_intervals(candidates, None, 5)] == [(1, 2)]
    assert spread_intervals(candidates[:1], None, 5) == ()
