"""Verdicts on studies whose outcome is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from slr.analysis.claims.stability import stable_choice, stable_result
from slr.analysis.load_results import Results
from slr.crc.prompts import load_prompts
from slr.runs.records import AnyRecord, CrcScore
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Verdict
from tests.stability.records import NUM_PROMPTS, PAIR, Ends, study

IS_FIRST_HALF = [place % 20 < 10 for place, _ in enumerate(load_prompts("selection"))]
RIVALS: dict[Ends, list[float]] = {
    (0, 1): [0.9 if is_first else 0.1 for is_first in IS_FIRST_HALF],
    (2, 3): [0.1 if is_first else 0.899 for is_first in IS_FIRST_HALF],
}
"""Two intervals without a common layer; which is chosen depends on which half has more prompts in a draw."""


def judged(claim: Callable[[Results, str], Verdict | None], records: Sequence[AnyRecord]) -> Verdict:
    verdict = claim(Results(tuple(records)), PAIR)
    assert verdict is not None
    return verdict


def test_a_choice_that_all_prompts_make_is_stable() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {(1, 2): [0.5] * NUM_PROMPTS})
    for claim in (stable_choice, stable_result):
        assert judged(claim, records) == Verdict(outcome="yes", estimate=Estimate(1.0, 1.0, 1.0, NUM_PROMPTS))


def test_a_choice_between_two_rivals_cannot_be_told_stable() -> None:
    verdict = judged(stable_choice, study((0, 1), RIVALS, {}))
    # Where both are equally diverse, the earlier one is chosen.
    assert 0.45 < verdict.estimate.mean < 0.65
    assert verdict.estimate.low is not None
    assert verdict.estimate.high is not None
    assert verdict.estimate.low < 0.3 < 0.7 < verdict.estimate.high
    assert verdict.outcome == "cannot tell"


def test_an_interval_that_other_prompts_never_choose_is_not_stable() -> None:
    verdict = judged(stable_choice, study((1, 2), {(0, 1): [0.7] * NUM_PROMPTS}, {}))
    assert verdict == Verdict(outcome="no", estimate=Estimate(0.0, 0.0, 0.0, NUM_PROMPTS))


@pytest.mark.parametrize(
    ("rival", "share", "outcome"), [(0.5, 1.0, "yes"), (0.4, 2 / 3, "no"), (0.1, -1 / 3, "no")]
)
def test_rivals_that_gain_as_much_have_a_stable_result(rival: float, share: float, outcome: str) -> None:
    """The reported choice gains 0.5 - 0.2 on every prompt, and its rival, chosen by about half of the draws, less."""
    held_out: dict[Ends, list[float]] = {(0, 1): [0.5] * NUM_PROMPTS, (2, 3): [rival] * NUM_PROMPTS}
    verdict = judged(stable_result, study((0, 1), RIVALS, held_out))
    found = verdict.estimate
    assert (found.mean, found.low, found.high, found.n) == (*[pytest.approx(share)] * 3, 40)
    assert verdict.outcome == outcome


def test_without_a_clear_gain_nothing_can_be_told() -> None:
    spread = [0.2 + (0.3 if place % 2 else -0.2) * (place % 3) / 2 for place in range(NUM_PROMPTS)]
    verdict = judged(stable_result, study((0, 1), RIVALS, {(0, 1): spread, (2, 3): spread}))
    assert (verdict.estimate.low, verdict.estimate.high, verdict.outcome) == (None, None, "cannot tell")


def test_without_any_gain_there_is_nothing_to_judge() -> None:
    records = study((0, 1), RIVALS, {(0, 1): [0.2] * NUM_PROMPTS, (2, 3): [0.5] * NUM_PROMPTS})
    assert stable_result(Results(tuple(records)), PAIR) is None


def test_a_pair_whose_stability_was_not_measured_has_no_verdict() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {})
    searched = [
        r for r in records if not (isinstance(r, CrcScore) and r.prompt_set == "held_out" and r.interval)
    ]
    for claim in (stable_choice, stable_result):
        assert claim(Results(tuple(searched)), PAIR) is None
