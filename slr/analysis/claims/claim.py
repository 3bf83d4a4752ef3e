"""A claim, its criterion, and what the records of a pair say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from slr.analysis.load_results import Results
from slr.statistics.uncertainty import Estimate

Outcome = Literal["yes", "no", "cannot tell"]
"""Whether a claim holds. "Cannot tell" means that its interval holds values on both sides of the threshold."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the records of one pair say of a claim.

    Attributes:
        outcome: whether the claim holds by its criterion.
        estimate: the number that the criterion is about, with its 95% interval and the number of items behind it.
    """

    outcome: Outcome
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that a result may confirm or refute.

    Attributes:
        id: name of the claim.
        sentence: the claim in words.
        criterion: the number that decides, and its threshold, in words.
        exhibit: id of the figure or table that shows the number.
        verdict: judges one pair by its records; None where it was not measured.
    """

    id: str
    sentence: str
    criterion: str
    exhibit: str
    verdict: Callable[[Results, str], Verdict | None]


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
