"""Correlations and regrets of invented records, against numbers worked out by hand."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from slr.analysis.claims.prediction import near_the_best, predicts
from slr.analysis.figures.prediction import prediction as draw
from slr.analysis.load_results import Results
from slr.analysis.tables.prediction import prediction, prediction_regret
from slr.downstream.task import load_task
from slr.prediction.report import method_of, prediction_report
from slr.runs.records import AnyRecord, IntervalHarnessScore, Samples, SpreadIntervals
from slr.sampling.config import SamplingConfig
from slr.testbed.facts import RELATIONS
from tests.analysis.synthetic import PROVENANCE

HEADER: dict[str, Any] = {"experiment": "prediction", "pair": "pair-one", "provenance": PROVENANCE}
INTERVALS = ((1, 2), (0, 1), (0, 2), (2, 3), (1, 3))
VALIDITY = (0.8, 0.9, 0.5, 0.85, 0.6)
DIVERSITY = (0.5, 0.3, 0.8, 0.4, 0.7)
PROMPTS = load_task("open_qa", "testbed", 8)


def samples(method: str, interval: tuple[int, int] | None, num_right: int) -> list[Samples]:
    """Four answers to each question: a number of different right ones, and wrong ones."""
    return [
        Samples(
            **HEADER,
            family="llama",
            task="open_qa",
            source="testbed",
            group=prompt.group,
            prompt_id=prompt.id,
            text=prompt.text,
            request=prompt.text,
            method=method,
            model="instruct" if interval is None else "hybrid",
            interval=interval,
            alpha=None,
            prompting="direct",
            sampling=SamplingConfig(),
            seed=0,
            expected=None,
            texts=(*RELATIONS[prompt.id.split("-")[0]].names[:right], *["nothing"] * (4 - right)),
            num_tokens=(3,) * 4,
            finished=(True,) * 4,
        )
        for place, prompt in enumerate(PROMPTS)
        # Prompts differ a little, so that there are intervals.
        for right in [max(0, min(4, num_right - (place % 3 == 0)))]
    ]


def score(interval: tuple[int, int] | None, value: float) -> IntervalHarnessScore:
    return IntervalHarnessScore(
        **HEADER,
        interval=interval,
        task="a_task",
        task_version="1",
        num_fewshot=0,
        metric="acc,none",
        value=value,
        document_scores=(value, value / 2, value / 3, value),
        harness_version="1",
    )


def records_with(
    right: tuple[int, ...], instruct: int = 3, chosen: tuple[int, int] | None = (1, 2)
) -> list[AnyRecord]:
    """An experiment with a number of right answers for each interval."""
    return [
        SpreadIntervals(**HEADER, chosen=chosen, intervals=INTERVALS, validity=VALIDITY, diversity=DIVERSITY),
        *samples("instruct", None, instruct),
        score(None, 0.5),
        *(
            record
            for interval, num_right in zip(INTERVALS, right, strict=True)
            for record in (*samples(method_of(interval), interval, num_right), score(interval, num_right / 4))
        ),
    ]


def test_correlations_are_over_intervals() -> None:
    # By diversity the order is 0.3, 0.4, 0.5, 0.7, 0.8, and the numbers of right answers are 1, 2, 2, 3, 4.
    report = prediction_report(records_with((2, 1, 4, 2, 3)), "pair-one")
    assert [measure.id for measure in report.measures] == ["coverage", "precision", "a_task"]
    found = report.correlation("diversity", "precision")
    assert found is not None
    # Ranks 1..5 against 1, 2.5, 2.5, 4, 5.
    assert found.mean == pytest.approx(9.5 / (10 * 9.5) ** 0.5)
    assert found.n == 5
    validity = report.correlation("validity", "a_task")
    assert validity is not None
    assert validity.mean == pytest.approx(-found.mean)
    assert report.correlation("diversity", "nothing") is None


def test_the_regret_is_against_the_best_that_keeps_the_quality() -> None:
    # Instruct has 3 right; 0.9 of its precision admits 3 and 4.
    report = prediction_report(records_with((3, 1, 4, 2, 3)), "pair-one")
    (regret,) = report.regrets
    assert regret.measure.id == "coverage"
    assert (regret.num_admissible, regret.chosen_keeps) == (3, True)
    assert regret.best is not None
    assert regret.best.ends == (0, 2)
    best, chosen = (next(p for p in report.points if p.interval.ends == ends) for ends in ((0, 2), (1, 2)))
    of_best, of_chosen = (
        fmean(value for value in point.values["coverage"] if value is not None) for point in (best, chosen)
    )
    expected = of_best - of_chosen
    assert regret.regret is not None
    assert regret.regret.mean == pytest.approx(expected)
    assert regret.cross_fitted is not None
    assert regret.cross_fitted.mean == pytest.approx(expected)  # both halves pick the same one
    assert regret.share is not None
    assert regret.share.mean == pytest.approx(of_chosen / of_best)


def test_no_interval_that_keeps_the_quality_gives_no_regret() -> None:
    (regret,) = prediction_report(records_with((2, 1, 2, 1, 2), instruct=4), "pair-one").regrets
    assert (regret.best, regret.regret, regret.cross_fitted, regret.share) == (None, None, None, None)
    assert not prediction_report(records_with((2, 1, 2, 1, 2), chosen=None), "pair-one").regrets


def test_a_missing_part_is_named() -> None:
    records = records_with((2, 1, 4, 2, 3))
    with pytest.raises(ValueError, match="some intervals lack values of lm-eval a_task"):
        prediction_report(records[:-1], "pair-one")
    with pytest.raises(ValueError, match="no intervals yet"):
        prediction_report(records[1:], "pair-one")
    results = Results(tuple(records[:-1]))
    assert not results.prediction_reports
    assert len(results.unfinished_prediction) == 1


def test_claims_by_their_criteria() -> None:
    results = Results(tuple(records_with((3, 1, 4, 2, 3))))
    verdict = predicts("diversity", "open_qa", "primary")(results, "pair-one")
    assert verdict is not None
    found = results.prediction_reports[0].correlation("diversity", "coverage")
    assert verdict.estimate == found
    assert found is not None
    assert found.low is not None
    assert verdict.outcome == ("yes" if found.low > 0.5 else "cannot tell")
    opposite = predicts("validity", "open_qa", "quality")(results, "pair-one")
    assert opposite is not None
    assert opposite.outcome == "no"
    assert predicts("diversity", "reasoning", "primary")(results, "pair-one") is None
    assert predicts("diversity", "open_qa", "primary")(results, "another") is None

    far = near_the_best("open_qa")(results, "pair-one")
    assert far is not None
    assert far.outcome == "no"  # two or three answers in place of three or four
    best = near_the_best("open_qa")(Results(tuple(records_with((4, 1, 3, 2, 3)))), "pair-one")
    assert best is not None
    assert best.outcome == "yes"
    assert best.estimate.mean == 1


def test_tables_and_figure_show_the_report() -> None:
    results = Results(tuple(records_with((3, 1, 4, 2, 3))))
    assert [row[1:4] for row in prediction(results).rows] == [
        ("coverage at 4", "primary", 5),
        ("precision", "quality", 5),
        ("lm-eval a_task", "quality", 5),
    ]
    (row,) = prediction_regret(results).rows
    assert row[3:6] == (3, "yes", "1:2")
    assert row[7] == "0:2"
    figure = draw(results)
    coverage, benchmark = figure.axes[:2]
    assert len(coverage.collections) == len(benchmark.collections) == len(INTERVALS)
    assert coverage.get_title().startswith("coverage at 4\nr = ")
