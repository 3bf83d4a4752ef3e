"""A claim, and its criterion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from slr.analysis.load_results import Results
from slr.statistics.verdict import Verdict


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
