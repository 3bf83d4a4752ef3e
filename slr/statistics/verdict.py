"""Whether a claim holds, by the 95% interval of the number that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slr.statistics.uncertainty import Estimate

Outcome = Literal["yes", "no", "cannot tell"]
"""Whether a claim holds. "Cannot tell" means that its interval holds values on both sides of the threshold."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found of a claim.

    Attributes:
        outcome: whether the claim holds by its criterion.
        estimate: the number that the criterion is about, with its 95% interval and the number of items behind it.
    """

    outcome: Outcome
    estimate: Estimate


def judged_above(threshold: float, estimate: Estimate) -> Verdict:
    """Judge the claim that a number is above a threshold by its 95% interval.

    Returns:
        Yes if the whole interval lies above the threshold; no if it lies wholly at or below it; else, and without an
        interval, cannot tell.
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None or low <= threshold < high:
        return Verdict(outcome="cannot tell", estimate=estimate)
    return Verdict(outcome="yes" if low > threshold else "no", estimate=estimate)
