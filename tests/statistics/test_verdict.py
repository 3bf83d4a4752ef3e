from __future__ import annotations

import pytest

from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import judged_above


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.1, 0.3, "yes"),
        (-0.3, -0.1, "no"),
        (-0.1, 0.3, "cannot tell"),
        (0.0, 0.3, "cannot tell"),  # the threshold itself is not above it
        (-0.3, 0.0, "no"),
        (None, None, "cannot tell"),
    ],
)
def test_an_interval_on_one_side_of_the_threshold_decides(
    low: float | None, high: float | None, outcome: str
) -> None:
    estimate = Estimate(0.2, low, high, 12)
    assert judged_above(0.0, estimate).outcome == outcome
    assert judged_above(0.0, estimate).estimate is estimate
