"""What CRC predicts: correlations over intervals, and the regret of the chosen interval."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.prediction.report import LEAST_QUALITY


def prediction(results: Results) -> Table:
    """Make a row for each measure of each pair."""
    rows = [
        (
            report.pair,
            measure.label,
            measure.aspect,
            len(report.points),
            report.correlation("diversity", measure.id),
            report.correlation("validity", measure.id),
        )
        for report in results.prediction_reports
        for measure in report.measures
    ]
    return Table(
        "Does CRC predict? Spearman's correlation, over intervals that are spread over the CRC plane, of the mean CRC "
        "score on the selection prompts with the mean of each measure. The 95% intervals are Bonett and Wright's, as "
        "if the intervals had been drawn at random. A primary measure counts different good answers; quality is a "
        "share of good answers, or a score by lm-eval.",
        ("pair", "measure", "aspect", "intervals", "r with CRC diversity", "r with CRC validity"),
        tuple(rows),
        count_column="intervals",
    )


def prediction_regret(results: Results) -> Table:
    """Make a row for each primary measure of each pair with a choice."""
    rows = [
        (
            report.pair,
            of.measure.label,
            len(report.points),
            of.num_admissible,
            "yes" if of.chosen_keeps else "no",
            next(str(point.interval) for point in report.points if point.is_chosen),
            next(point.means[of.measure.id] for point in report.points if point.is_chosen),
            "none" if of.best is None else str(of.best),
            next((p.means[of.measure.id] for p in report.points if p.interval == of.best), None),
            of.regret,
            of.cross_fitted,
            of.share,
        )
        for report in results.prediction_reports
        for of in report.regrets
    ]
    return Table(
        "The regret of the chosen interval: how much higher the measure of the best interval in hindsight is. The best "
        f"is among the measured intervals that keep {LEAST_QUALITY:g} of the instruct model's quality on the task. "
        "Means over prompts with 95% intervals; the regret is paired by prompt, and the share has Fieller's interval. "
        "The regret is too high, because the same prompts pick the best. In the cross-fitted one, one half of the "
        "prompts picks the best and the other half measures it, and the other way round. A negative regret means "
        "that the chosen interval does better than every one that keeps the quality.",
        (
            "pair",
            "measure",
            "intervals",
            "keep the quality",
            "chosen keeps it",
            "chosen",
            "chosen's mean",
            "best in hindsight",
            "best's mean",
            "regret",
            "regret, cross-fitted",
            "chosen / best",
        ),
        tuple(rows),
    )
