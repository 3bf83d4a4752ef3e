"""Verdicts on studies whose outcome is known."""

from __future__ import annotations

import pytest

from slr.analysis.claims.stability import choice_is_stable, result_is_stable
from slr.analysis.claims.verdict import decide
from slr.crc.prompts import load_prompts
from tests.stability.records import NUM_PROMPTS, PAIR, Ends, study

IS_FIRST_HALF = [place % 20 < 10 for place, _ in enumerate(load_prompts("selection"))]
RIVALS: dict[Ends, list[float]] = {
    (0, 1): [0.9 if is_first else 0.1 for is_first in IS_FIRST_HALF],
    (2, 3): [0.1 if is_first else 0.899 for is_first in IS_FIRST_HALF],
}
"""Two intervals without a common layer; which is chosen depends on which half has more prompts in a draw."""


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.5, 0.9, "yes"),
        (0.49, 0.9, "cannot tell"),
        (0.1, 0.5, "cannot tell"),
        (0.1, 0.49, "no"),
        (None, None, "cannot tell"),
    ],
)
def test_an_interval_decides(low: float | None, high: float | None, answer: str) -> None:
    assert decide(low, high, least=0.5) == answer


def test_a_choice_that_all_prompts_make_is_stable() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {(1, 2): [0.5] * NUM_PROMPTS})
    verdict = choice_is_stable(records, PAIR)
    assert (verdict.value, verdict.low, verdict.high, verdict.n) == (1.0, 1.0, 1.0, 40)
    assert verdict.outcome == "yes"
    assert "1:2 in 100% of draws" in verdict.sentence
    result = result_is_stable(records, PAIR)
    assert (result.value, result.low, result.high, result.outcome) == (1.0, 1.0, 1.0, "yes")


def test_a_choice_between_two_rivals_cannot_be_told_stable() -> None:
    verdict = choice_is_stable(study((0, 1), RIVALS, {}), PAIR)
    # Ties go to 0:1, the earlier one.
    assert 0.45 < verdict.value < 0.65
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < 0.3 < 0.7 < verdict.high
    assert verdict.outcome == "cannot tell"


def test_an_interval_that_other_prompts_never_choose_is_not_stable() -> None:
    verdict = choice_is_stable(study((1, 2), {(0, 1): [0.7] * NUM_PROMPTS}, {}), PAIR)
    assert (verdict.value, verdict.high, verdict.outcome) == (0.0, 0.0, "no")


@pytest.mark.parametrize(
    ("rival", "share", "outcome"), [(0.5, 1.0, "yes"), (0.4, 2 / 3, "no"), (0.1, -1 / 3, "no")]
)
def test_rivals_that_gain_as_much_have_a_stable_result(rival: float, share: float, outcome: str) -> None:
    """The reported choice gains 0.5 - 0.2 on every prompt, and its rival, chosen by about half of the draws, less."""
    held_out: dict[Ends, list[float]] = {(0, 1): [0.5] * NUM_PROMPTS, (2, 3): [rival] * NUM_PROMPTS}
    verdict = result_is_stable(study((0, 1), RIVALS, held_out), PAIR)
    assert verdict.value == pytest.approx(share)
    assert (verdict.low, verdict.high) == (pytest.approx(share), pytest.approx(share))
    assert (verdict.outcome, verdict.n) == (outcome, 40)


def test_without_a_clear_gain_nothing_can_be_told() -> None:
    spread = [0.2 + (0.3 if place % 2 else -0.2) * (place % 3) / 2 for place in range(NUM_PROMPTS)]
    verdict = result_is_stable(study((0, 1), RIVALS, {(0, 1): spread, (2, 3): spread}), PAIR)
    assert (verdict.low, verdict.high, verdict.outcome) == (None, None, "cannot tell")
