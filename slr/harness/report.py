"""Reports on lm-eval's scores: means with intervals, and contrasts between models. No torch is needed.

Nothing here depends on the order of the records. A model is compared with the models that its records name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slr.downstream.methods import model_rank
from slr.runs.records import AnyRecord, HarnessScore
from slr.runs.results import of_kind, of_pair
from slr.statistics.contrasts import Comparison, Contrast, make_contrasts
from slr.statistics.uncertainty import Estimate, estimate_mean


@dataclass(frozen=True, kw_only=True)
class HarnessSummary:
    """One metric of one task for one model.

    Attributes:
        score: the record.
        estimate: mean over documents with its interval.
    """

    score: HarnessScore
    estimate: Estimate | None


def harness_summaries(records: Iterable[AnyRecord], pair: str) -> list[HarnessSummary]:
    """The mean of every score of one pair with its interval, by task, metric and model."""
    return [
        HarnessSummary(score=score, estimate=estimate_mean(score.document_scores))
        for score in scores_of_pair(records, pair)
    ]


def harness_contrasts(records: Iterable[AnyRecord], pair: str) -> list[Contrast]:
    """Every model of one pair against each of its references, paired by document.

    The task is the contrast's group. P-values are Holm-corrected over all contrasts of the pair.

    Raises:
        ValueError: if a reference was not evaluated, or not on the same documents.
    """
    scores = scores_of_pair(records, pair)
    by_key: dict[tuple[str, str, str], HarnessScore] = {
        (score.task, score.metric, score.model): score for score in scores
    }
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


def scores_of_pair(records: Iterable[AnyRecord], pair: str) -> list[HarnessScore]:
    """The scores of one pair, by task, metric and model."""
    scores = of_kind(of_pair(records, pair), HarnessScore)
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
