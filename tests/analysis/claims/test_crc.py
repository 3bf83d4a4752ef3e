from __future__ import annotations

from statistics import fmean

import pytest

from slr.analysis.claims.crc import collapse, kept_rule, recovery
from slr.analysis.load_results import Results
from slr.runs.records import CrcScore
from slr.runs.results import of_kind
from tests.analysis.synthetic import crc_records

PAIR = "testbed-llama"


def results_with(**held_out_diversity: tuple[float, ...]) -> Results:
    """The synthetic study with other diversities on the four held-out prompts."""
    records = [
        record.model_copy(update={"diversity": held_out_diversity[record.model]})
        if isinstance(record, CrcScore)
        and record.prompt_set == "held_out"
        and record.model in held_out_diversity
        else record
        for record in crc_records(PAIR)
    ]
    return Results(tuple(records), "testbed")


LOW, HIGH = (0.2, 0.22, 0.24, 0.26), (0.6, 0.61, 0.67, 0.645)


@pytest.mark.parametrize(
    ("base", "hybrid", "collapsed", "recovered"),
    [
        (HIGH, (0.4, 0.43, 0.41, 0.455), "yes", "yes"),
        (HIGH, (0.1, 0.13, 0.11, 0.145), "yes", "no"),
        (HIGH, (0.1, 0.33, 0.11, 0.44), "yes", "cannot tell"),
        # What was not lost cannot be regained.
        ((0.2, 0.25, 0.23, 0.3), HIGH, "no", "cannot tell"),
    ],
)
def test_recovery_needs_a_collapse(
    base: tuple[float, ...], hybrid: tuple[float, ...], collapsed: str, recovered: str
) -> None:
    results = results_with(base=base, instruct=LOW, hybrid=hybrid)
    first, second = collapse(results, PAIR), recovery(results, PAIR)
    assert first is not None
    assert second is not None
    assert (first.outcome, second.outcome) == (collapsed, recovered)
    assert first.estimate.mean == pytest.approx(fmean(base) - fmean(LOW))
    assert second.estimate.n == 4


def test_the_rule_is_judged_by_the_ratio_of_the_validities() -> None:
    results = Results(tuple(crc_records(PAIR)), "testbed")
    hybrid, instruct = (
        next(
            score.validity
            for score in of_kind(results.records, CrcScore)
            if score.prompt_set == "held_out" and score.model == model
        )
        for model in ("hybrid", "instruct")
    )
    verdict = kept_rule(results, PAIR)
    assert verdict is not None
    assert verdict.estimate.mean == pytest.approx(sum(map(float, hybrid)) / sum(map(float, instruct)))  # pyright: ignore[reportArgumentType]


def test_a_pair_that_was_not_measured_has_no_verdict() -> None:
    results = Results((), "testbed")
    assert [judge(results, PAIR) for judge in (collapse, recovery, kept_rule)] == [None, None, None]
