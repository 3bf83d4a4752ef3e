"""Choices for many draws at once, against the plain choice of one draw after the other."""

from __future__ import annotations

import numpy as np
import pytest

from slr.crc.prompts import load_prompts
from slr.crc.selection import SelectionRule, make_candidates, not_finite_choices, select
from slr.intervals import LayerInterval, all_intervals
from slr.runs.records import CrcScore
from slr.stability.resampling import NONE_CHOSEN, IntervalScores, choose, overlap, sample_prompts
from tests.stability.records import NUM_PROMPTS, score

NUM_LAYERS = 3
INTERVALS = sorted(all_intervals(NUM_LAYERS), key=lambda interval: (len(interval), interval.start))
STRATA = [prompt.category for prompt in load_prompts("selection")]


def random_scores(
    rng: np.random.Generator, undefined: float = 0.0
) -> tuple[dict[LayerInterval, CrcScore], CrcScore]:
    """Hybrids that are valid about as often as instruct, so that the rule matters; some diversities are undefined."""

    def values(low: float, high: float) -> list[float]:
        return [float(value) for value in rng.uniform(low, high, NUM_PROMPTS)]

    instruct = score("selection", "instruct", values(0.6, 1.0), values(0.0, 1.0))
    hybrids = {}
    for interval in INTERVALS:
        factor = rng.uniform(0.8, 1.0)
        validity = [
            factor * value * rng.uniform(0.9, 1.0) for value in instruct.validity if value is not None
        ]
        diversity = [None if rng.random() < undefined else value for value in values(0.0, 1.0)]
        hybrids[interval] = score("selection", "hybrid", validity, diversity, interval.ends)
    return hybrids, instruct


def repeated(record: CrcScore, counts: np.ndarray) -> CrcScore:
    """The scores with each prompt as often as it counts."""
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    return record.model_copy(
        update={
            name: tuple(getattr(record, name)[place] for place in places)
            for name in ("validity", "diversity")
        }
    )


def plain_choice(
    hybrids: dict[LayerInterval, CrcScore], instruct: CrcScore, counts: np.ndarray, rule: SelectionRule
) -> LayerInterval | None:
    scored = [(interval, repeated(record, counts)) for interval, record in hybrids.items()]
    reference = repeated(instruct, counts)
    chosen = select(
        make_candidates(scored, reference),
        float(np.mean([value for value in reference.validity if value is not None])),
        rule.min_validity_ratio,
        rule.margin,
        not_finite=not_finite_choices(scored),
    ).chosen
    return None if chosen is None else chosen.choice


@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("size", [5, 40])
def test_each_draw_has_the_choice_of_its_prompts(size: int, margin: bool) -> None:
    rng = np.random.default_rng(1)
    found: set[int] = set()
    for ratio in (0.8, 0.85, 0.9):
        hybrids, instruct = random_scores(rng, undefined=0.3)
        rule = SelectionRule(ratio, margin)
        draws = sample_prompts(STRATA, size, 25, rng)
        chosen = choose(IntervalScores.from_records(INTERVALS, hybrids, instruct), draws, rule)
        found |= set(chosen.tolist())
        for counts, index in zip(draws, chosen, strict=True):
            expected = plain_choice(hybrids, instruct, counts, rule)
            assert (None if index == NONE_CHOSEN else INTERVALS[index]) == expected
    assert len(found) > 2


def test_an_interval_that_is_not_finite_is_never_chosen() -> None:
    hybrids, instruct = random_scores(np.random.default_rng(2))
    all_once = np.ones((1, NUM_PROMPTS), dtype=np.int64)
    [first] = choose(IntervalScores.from_records(INTERVALS, hybrids, instruct), all_once, SelectionRule(0.7))
    best = INTERVALS[first]
    undefined = (None, *hybrids[best].validity[1:])
    hybrids[best] = hybrids[best].model_copy(
        update={"validity": undefined, "diversity": (None, *hybrids[best].diversity[1:])}
    )
    scores = IntervalScores.from_records(INTERVALS, hybrids, instruct)
    for margin in (False, True):
        rule = SelectionRule(0.7, margin)
        [second] = choose(scores, all_once, rule)
        assert INTERVALS[second] == plain_choice(hybrids, instruct, all_once[0], rule) != best


def test_equally_diverse_intervals_give_the_smallest_change() -> None:
    level = [0.5] * NUM_PROMPTS
    hybrids = {i: score("selection", "hybrid", level, level, i.ends) for i in INTERVALS}
    scores = IntervalScores.from_records(INTERVALS, hybrids, score("selection", "instruct", level, level))
    assert choose(scores, np.ones((1, NUM_PROMPTS), dtype=np.int64), SelectionRule()).tolist() == [0]


def test_without_an_admissible_interval_none_is_chosen() -> None:
    hybrids, instruct = random_scores(np.random.default_rng(3))
    scores = IntervalScores.from_records(INTERVALS, hybrids, instruct)
    draws = sample_prompts(STRATA, 40, 3, np.random.default_rng(0))
    assert choose(scores, draws, SelectionRule(1.0, margin=True)).tolist() == [NONE_CHOSEN] * 3


def test_one_prompt_has_no_margin() -> None:
    hybrids, instruct = random_scores(np.random.default_rng(4))
    scores = IntervalScores.from_records(INTERVALS, hybrids, instruct)
    one = np.eye(NUM_PROMPTS, dtype=np.int64)[:1]
    assert choose(scores, one, SelectionRule(0.1, margin=True)).tolist() == [NONE_CHOSEN]


@pytest.mark.parametrize("size", [5, 10, 40, 80])
def test_strata_are_equally_large(size: int) -> None:
    draws = sample_prompts(STRATA, size, 400, np.random.default_rng(0))
    letters = draws[:, [stratum == "letters" for stratum in STRATA]].sum(axis=1)
    assert set(draws.sum(axis=1)) == {size}
    assert set(letters) == {size // 2, (size + 1) // 2}
    # Every prompt is as likely as the others: size / 40 times a draw, within five standard errors.
    np.testing.assert_allclose(draws.mean(axis=0), size / 40, atol=5 * (size / 40 / 400) ** 0.5)
    assert draws.max() > 1


def test_a_draw_from_a_draw_has_only_its_prompts() -> None:
    [first] = sample_prompts(STRATA, 40, 1, np.random.default_rng(0))
    again = sample_prompts(STRATA, 40, 300, np.random.default_rng(1), within=first)
    assert not again[:, first == 0].any()
    np.testing.assert_allclose(again.mean(axis=0), first, atol=5 * (first.max() / 300) ** 0.5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("2:4", "2:4", 1.0), ("2:4", "3:5", 1 / 3), ("2:4", "4:6", 0.0), ("0:10", "3:5", 0.2)],
)
def test_overlap_by_hand(one: str, other: str, expected: float) -> None:
    assert overlap(LayerInterval.parse(one), LayerInterval.parse(other)) == pytest.approx(expected)
    assert overlap(LayerInterval.parse(other), LayerInterval.parse(one)) == pytest.approx(expected)
