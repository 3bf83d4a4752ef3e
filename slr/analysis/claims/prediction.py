"""Claims on what CRC predicts, over intervals that are spread over the CRC plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from slr.analysis.claims.claim import Claim
from slr.analysis.load_results import Results
from slr.prediction.report import CrcMeasure, Measure, PredictionReport
from slr.statistics.verdict import Verdict, judged_above
from slr.vocabulary import TaskName

SMALLEST_CORRELATION = 0.5
"""Spearman's correlation above which CRC counts as a predictor."""
SMALLEST_SHARE_OF_BEST = 0.9
"""Share of the best interval's measure above which the chosen interval counts as a good choice."""
Judge = Callable[[Results, str], Verdict | None]
_TASKS: dict[TaskName, tuple[str, str]] = {
    "creative_writing": ("different valid texts", "the share of valid texts"),
    "open_qa": ("coverage of right answers", "the share of right answers"),
    "reasoning": ("pass@k", "pass@1"),
}
"""Name of each task's primary measure and of its quality."""


def predicts(crc: CrcMeasure, task: TaskName | None, aspect: Literal["primary", "quality"]) -> Judge:
    """Make the judge of whether a CRC mean predicts a measure.

    Criterion: the whole 95% interval of Spearman's correlation over the measured intervals is above 0.5 (yes), or none
    of it is (no).

    Args:
        crc: the CRC mean.
        task: the task; None for lm-eval, of which the first task counts.
        aspect: whether the primary measure or the quality is to be predicted.
    """

    def judge(results: Results, pair: str) -> Verdict | None:
        report = _report(results, pair)
        measure = report and _measure(report, task, aspect)
        found = report.correlation(crc, measure.id) if report and measure else None
        return None if found is None else judged_above(SMALLEST_CORRELATION, found)

    return judge


def near_the_best(task: TaskName) -> Judge:
    """Make the judge of whether the chosen interval is nearly as good as the best in hindsight.

    Criterion: the primary measure of the chosen interval, divided by the best's among the measured intervals that keep
    the quality, is above 0.9 with the whole 95% interval (yes), or not with any of it (no). If the chosen interval is
    the best itself, the answer is yes.
    """

    def judge(results: Results, pair: str) -> Verdict | None:
        report = _report(results, pair)
        regret = next((r for r in report.regrets if r.measure.task == task), None) if report else None
        if report is None or regret is None or regret.share is None:
            return None
        # Its share of itself is exactly 1 and has no interval, by which a claim is judged otherwise.
        if any(point.is_chosen and point.interval == regret.best for point in report.points):
            return Verdict(outcome="yes", estimate=regret.share)
        return judged_above(SMALLEST_SHARE_OF_BEST, regret.share)

    return judge


def _report(results: Results, pair: str) -> PredictionReport | None:
    return next((report for report in results.prediction_reports if report.pair == pair), None)


def _measure(report: PredictionReport, task: TaskName | None, aspect: str) -> Measure | None:
    return next((m for m in report.measures if (m.task, m.aspect) == (task, aspect)), None)


def _correlation_claim(id_: str, sentence: str, of: str, judge: Judge) -> Claim:
    return Claim(
        id=id_,
        sentence=sentence,
        criterion=f"Spearman's correlation of {of}, over intervals, is above {SMALLEST_CORRELATION}",
        exhibit="prediction",
        verdict=judge,
    )


PREDICTION_CLAIMS = (
    *(
        _correlation_claim(
            f"diversity_predicts_{task}",
            f"CRC diversity predicts {primary}.",
            f"CRC diversity and {primary}",
            predicts("diversity", task, "primary"),
        )
        for task, (primary, _) in _TASKS.items()
    ),
    *(
        _correlation_claim(
            f"validity_predicts_{task}",
            f"CRC validity predicts {quality}.",
            f"CRC validity and {quality}",
            predicts("validity", task, "quality"),
        )
        for task, (_, quality) in _TASKS.items()
    ),
    _correlation_claim(
        "validity_predicts_lm_eval",
        "CRC validity predicts a benchmark's score.",
        "CRC validity and the score of lm-eval's first task",
        predicts("validity", None, "quality"),
    ),
    *(
        Claim(
            id=f"near_the_best_{task}",
            sentence=f"The chosen interval is nearly the best in hindsight by {primary}.",
            criterion=(
                f"{primary}, chosen divided by the best measured interval that keeps the quality, is above "
                f"{SMALLEST_SHARE_OF_BEST}"
            ),
            exhibit="prediction_regret",
            verdict=near_the_best(task),
        )
        for task, (primary, _) in _TASKS.items()
    ),
)
"""The claims, in the order of the table."""
