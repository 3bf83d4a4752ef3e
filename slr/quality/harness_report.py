"""lm-eval's scores put together: each with an interval, and its difference to the instruct model's. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.records import AnyRecord, HarnessScore
from slr.uncertainty import Estimate, estimate_difference, estimate_mean

REFERENCE = "instruct"


@dataclass(frozen=True, kw_only=True)
class HarnessLine:
    """One metric of one task for one model: the mean over documents, and its difference, paired by document.

    ``difference`` is None for the instruct model itself, and as long as that is not evaluated.
    """

    score: HarnessScore
    estimate: Estimate | None
    difference: Estimate | None

    @property
    def pair(self) -> str:
        """Whose model it is."""
        return self.score.pair

    @property
    def model(self) -> str:
        """Which of the compared models."""
        return self.score.model


def harness_lines(records: Sequence[AnyRecord], pair: str) -> list[HarnessLine]:
    """A line a score of one pair, by task and metric, in the order in which they were evaluated."""
    scores = [record for record in records if isinstance(record, HarnessScore) and record.pair == pair]
    by_metric: dict[tuple[str, str], list[HarnessScore]] = {}
    for score in scores:
        by_metric.setdefault((score.task, score.metric), []).append(score)
    return [_line(score, of_metric) for of_metric in by_metric.values() for score in of_metric]


def _line(score: HarnessScore, of_metric: Sequence[HarnessScore]) -> HarnessLine:
    reference = next((other for other in of_metric if other.model == REFERENCE), None)
    return HarnessLine(
        score=score,
        estimate=estimate_mean(score.document_scores),
        difference=None
        if reference is None or reference is score
        else estimate_difference(score.document_scores, reference.document_scores),
    )
