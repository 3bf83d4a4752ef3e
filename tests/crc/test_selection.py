from __future__ import annotations

import pytest

from slr.crc.selection import Candidate, pareto_front, select
from slr.intervals import LayerInterval
from slr.statistics.uncertainty import Estimate


def candidate(
    start: int, end: int, validity: float, diversity: float | None, ratio: Estimate | None = None
) -> Candidate[LayerInterval]:
    return Candidate(LayerInterval(start, end), validity, diversity, ratio)


def test_highest_diversity_among_the_valid_enough() -> None:
    too_invalid = candidate(0, 3, 0.71, 0.9)
    best = candidate(1, 3, 0.73, 0.6)
    other = candidate(2, 3, 0.80, 0.5)
    selection = select([too_invalid, other, best], instruct_validity=0.8)
    assert selection.min_validity == pytest.approx(0.72)
    assert selection.chosen == best
    assert selection.ranking == (best, other)
    assert "2 among 3" in selection.reason


def test_ties_go_to_the_shorter_then_the_earlier_interval() -> None:
    longer, later, earlier = (
        candidate(0, 3, 1, 0.5),
        candidate(2, 4, 1, 0.5),
        candidate(1, 3, 1, 0.5),
    )
    assert select([longer, later, earlier], 1.0).ranking == (earlier, later, longer)


def test_ties_among_soups_go_to_the_smaller_alpha() -> None:
    soups = [Candidate(alpha, 1.0, 0.5) for alpha in (0.3, 0.1, 0.2)]
    chosen = select(soups, 1.0).chosen
    assert chosen is not None
    assert chosen.choice == 0.1


def test_none_admissible_is_said_in_words() -> None:
    selection = select([candidate(0, 1, 0.4, 0.9), candidate(1, 2, 0.5, 0.9)], 0.8)
    assert selection.chosen is None
    assert selection.ranking == ()
    assert selection.reason.startswith("none: of 2 candidates")
    assert "0.720" in selection.reason
    assert "0.500" in selection.reason


def test_a_candidate_without_diversity_is_never_chosen() -> None:
    selection = select([candidate(0, 1, 0.9, None), candidate(1, 2, 0.9, 0.1)], 0.8)
    assert selection.chosen == candidate(1, 2, 0.9, 0.1)


def test_nothing_to_select_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to select from"):
        select([], 0.8)


RISKY = candidate(0, 3, 0.75, 0.9, Estimate(0.9375, 0.89, 0.98, 40))
CAREFUL = candidate(1, 3, 0.76, 0.6, Estimate(0.95, 0.9, 1.0, 40))
UNSURE = candidate(2, 3, 0.80, 0.7, Estimate(1.0, None, None, 1))


def test_a_margin_chooses_more_carefully() -> None:
    candidates = [RISKY, CAREFUL, UNSURE]
    assert select(candidates, 0.8).ranking == (RISKY, UNSURE, CAREFUL)
    careful = select(candidates, 0.8, margin=True)
    assert careful.ranking == (CAREFUL,)
    assert "1 among 3 candidates whose validity is with a margin at least 0.9 x" in careful.reason
    assert select(candidates, 0.8, min_validity_ratio=0.85, margin=True).chosen == RISKY


def test_none_admissible_with_a_margin_is_said_in_words() -> None:
    selection = select([RISKY, UNSURE], 0.8, margin=True)
    assert selection.chosen is None
    assert selection.reason.startswith(
        "none: of 2 candidates there is none whose validity is with a margin at least"
    )
    assert selection.reason.endswith("the highest is 0.890")
    assert select([UNSURE], 0.8, margin=True).reason.endswith("not known, because no ratio has an interval")


def test_a_lower_ratio_admits_more() -> None:
    wild = candidate(0, 3, 0.5, 0.9)
    assert select([wild, CAREFUL], 0.8).chosen == CAREFUL
    assert select([wild, CAREFUL], 0.8, 0.625).chosen == wild


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.1, float("nan")])
def test_ratio_must_be_a_share(ratio: float) -> None:
    with pytest.raises(ValueError, match="min_validity_ratio"):
        select([candidate(0, 1, 1, 1)], 0.8, ratio)


def test_pareto_front_by_brute_force() -> None:
    points = [(0.1, 0.9), (0.5, 0.5), (0.5, 0.6), (0.4, 0.6), (0.9, 0.1), (0.9, 0.1), (0.05, 0.9), (0.7, 0.2)]
    candidates = [candidate(0, index, *point) for index, point in enumerate(points)]

    def beaten(c: Candidate[LayerInterval]) -> bool:
        return any(
            (o.validity, o.diversity) != (c.validity, c.diversity)
            and o.validity >= c.validity
            and (o.diversity or 0) >= (c.diversity or 0)
            for o in candidates
        )

    front = pareto_front(candidates)
    assert {c.choice for c in front} == {c.choice for c in candidates if not beaten(c)}
    assert [c.validity for c in front] == sorted(c.validity for c in front)


def test_pareto_front_leaves_out_the_undefined() -> None:
    assert pareto_front([candidate(0, 1, 1.0, None)]) == []
