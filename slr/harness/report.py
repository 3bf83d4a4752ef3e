"""lm-eval's scores put together: each with an interval, and contrasts between models. Torch-free.

Nothing here depends on the order of the records. What a model is compared with is what its records name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.downstream.conditions import model_rank
from slr.runs.records import AnyRecord, HarnessScore
from slr.statistics.contrasts import Comparison, Contrast, make_contrasts
from slr.statistics.uncertainty import Estimate, estimate_mean


@dataclass(frozen=True, kw_only=True)
class HarnessLine:
    """One metric of one task for one model: the mean over documents."""

    score: HarnessScore
    estimate: Estimate | None

    @property
    def pair(self) -> str:
        """Whose model it is."""
        return self.score.pair

    @property
    def model(self) -> str:
        """Which of the compared models."""
        return self.score.model


def harness_lines(records: Sequence[AnyRecord], pair: str) -> list[HarnessLine]:
    """A line a score of one pair, by task, metric and model."""
    return [
        HarnessLine(score=score, estimate=estimate_mean(score.document_scores))
        for score in _scores(records, pair)
    ]


def harness_contrasts(records: Sequence[AnyRecord], pair: str) -> list[Contrast]:
    """Every model of one pair against each of its references, paired by document.

    The task is the contrast's group. P-values are Holm-corrected over all contrasts of the pair.

    Raises:
        ValueError: if a reference was not evaluated, or not on the same documents.
    """
    scores = _scores(records, pair)
    by_key = {(score.task, score.metric, score.model): score for score in scores}
    comparisons = []
    for score in scores:
        for name in score.references:
            reference = by_key.get((score.task, score.metric, name))
            if reference is None or len(reference.document_scores) != len(score.document_scores):
                raise ValueError(
                    f"{pair}: {score.model!r} is compared with {name!r}, which has no scores of the same documents "
                    f"of {score.task}: run the experiment to its end"
                )
            comparisons.append(_comparison(score, reference))
    return make_contrasts(comparisons, lambda comparison: comparison.pair)


def _scores(records: Sequence[AnyRecord], pair: str) -> list[HarnessScore]:
    scores = [record for record in records if isinstance(record, HarnessScore) and record.pair == pair]
    return sorted(scores, key=lambda score: (score.task, score.metric, model_rank(score.model)))


def _comparison(score: HarnessScore, reference: HarnessScore) -> Comparison:
    return Comparison(
        pair=score.pair,
        group=score.task,
        metric=score.metric,
        label=score.metric,
        method=score.model,
        model=score.model,
        reference=reference.model,
        reference_model=reference.model,
        values=score.document_scores,
        reference_values=reference.document_scores,
    )
