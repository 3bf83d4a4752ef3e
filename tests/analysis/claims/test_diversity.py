"""Claims on diversity, judged from contrasts that were worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slr.analysis.claims.diversity import DIVERSITY_CLAIMS, little_loss, more_diverse
from slr.analysis.tables.power import planned_power, power
from slr.statistics.contrasts import Contrast
from slr.statistics.power import smallest_difference
from slr.statistics.uncertainty import Estimate


def contrast(metric: str, low: float, high: float, p_value: float | None = 0.01, **changed: Any) -> Contrast:
    fields: dict[str, Any] = {
        "pair": "a pair",
        "group": "all problems",
        "metric": metric,
        "label": metric,
        "method": "hybrid",
        "model": "hybrid",
        "reference": "instruct",
        "reference_model": "instruct",
        "is_primary": metric == "pass_at_4",
        "num_items": 50,
        "mean": 0.5,
        "reference_mean": 0.4,
        "difference": Estimate((low + high) / 2, low, high, 50),
        "spread": 0.25,
        "p_value": p_value,
        "family_size": 6,
    }
    return Contrast(**fields | changed)


def results(*contrasts: Contrast) -> Any:
    """The two things that claims ask of results."""
    sampled = SimpleNamespace(source="testbed", texts=("a",) * 16)
    return SimpleNamespace(
        contrasts=lambda task: contrasts if task == "reasoning" else [],
        samples_of=lambda task: [sampled] if task == "reasoning" else [],
    )


@pytest.mark.parametrize(
    ("low", "high", "p_value", "outcome"),
    [
        (0.01, 0.2, 0.01, "yes"),
        (0.01, 0.2, 0.06, "cannot tell"),
        (0.01, 0.2, None, "cannot tell"),
        (-0.1, 0.2, 0.01, "cannot tell"),
        (-0.2, -0.01, 0.01, "no"),
        (-0.2, -0.01, 0.9, "no"),
    ],
)
def test_more_diverse_needs_the_interval_and_the_corrected_p_value(
    low: float, high: float, p_value: float | None, outcome: str
) -> None:
    of = results(
        contrast("pass_at_16", -0.5, -0.4),
        contrast("pass_at_4", -0.5, -0.4, group="problems that instruct fails"),
        contrast("pass_at_4", -0.5, -0.4, reference="soup"),
        contrast("pass_at_4", low, high, p_value),
    )
    verdict = more_diverse(of, "a pair", "reasoning", "instruct")
    assert verdict is not None
    assert (verdict.outcome, verdict.estimate.low, verdict.estimate.n) == (outcome, low, 50)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(-0.04, 0.02, "yes"), (-0.04, -0.01, "yes"), (-0.06, 0.02, "cannot tell"), (-0.2, -0.06, "no")],
)
def test_little_loss_is_less_than_the_margin_by_the_whole_interval(
    low: float, high: float, outcome: str
) -> None:
    verdict = little_loss(results(contrast("pass_at_1", low, high)), "a pair", "reasoning")
    assert verdict is not None
    assert verdict.outcome == outcome


def test_what_was_not_measured_has_no_verdict() -> None:
    of = results(contrast("pass_at_4", 0.1, 0.2))
    assert [claim.verdict(of, "a pair") is None for claim in DIVERSITY_CLAIMS] == [True] * 6 + [
        False,
        True,
        True,
    ]
    assert [claim.verdict(of, "another pair") for claim in DIVERSITY_CLAIMS] == [None] * 9
    assert len({claim.id for claim in DIVERSITY_CLAIMS}) == 9


def test_power_of_what_was_run_and_of_what_is_planned() -> None:
    of = results(
        contrast("pass_at_4", 0.1, 0.2), contrast("pass_at_4", 0.1, 0.2, reference="soup", spread=0.5)
    )
    rows = power(of).rows
    assert [row[3] for row in rows] == ["instruct", "soup"]
    assert rows[0][-2:] == (smallest_difference(0.25, 50), smallest_difference(0.25, 50, 0.05 / 6))
    (planned,) = planned_power(of, {"paper": {"reasoning": 200, "open_qa": 28}}).rows
    assert planned == (
        "paper",
        "reasoning",
        200,
        0.5,
        smallest_difference(0.5, 200),
        smallest_difference(0.5, 200, 0.05 / 6),
    )
