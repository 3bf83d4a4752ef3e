"""Reports on studies whose choices are known."""

from __future__ import annotations

import pytest

from slr.crc.prompts import load_prompts
from slr.intervals import LayerInterval
from slr.runs.records import AnyRecord, CrcScore
from slr.stability.report import StabilityReport, VariationSummary, min_p_summaries, stability_report
from tests.stability.records import NUM_PROMPTS, PAIR, study

IS_LETTERS = [prompt.category == "letters" for prompt in load_prompts("selection")]
LETTERS_LIKE = {(0, 1): [0.9 if is_letters else 0.1 for is_letters in IS_LETTERS]}
DIGITS_LIKE = {(1, 3): [0.3 if is_letters else 0.6 for is_letters in IS_LETTERS]}
GAINS = {(0, 1): [0.3] * NUM_PROMPTS, (1, 3): [0.6] * NUM_PROMPTS}
"""Held-out diversity. On selection prompts for letters 0:1 is the more diverse, on all 0:1 too, on digits 1:3."""


def summaries(report: StabilityReport) -> dict[str, VariationSummary]:
    return {v.id: report.summary(v) for v in (*report.samples, *report.others)}


def test_where_every_prompt_agrees_every_choice_is_the_reported_one() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {(1, 2): [0.5] * NUM_PROMPTS})
    report = stability_report(records, PAIR)
    found = summaries(report)
    assert [s.num_prompts for s in map(report.summary, report.samples)] == [5, 10, 20, 40, 80]
    assert [s.num_choices for s in map(report.summary, report.samples)] == [500, 500, 500, 2000, 500]
    for summary in found.values():
        if "margin" in summary.id:
            # Equal values have no interval, and no ratio is surely high enough.
            assert (summary.none, summary.same) == (1.0, 0.0), summary.id
            continue
        assert (summary.same, summary.overlap, summary.none) == (1.0, 1.0, 0.0), summary.id
        assert summary.gain == pytest.approx((0.3, 0.3, 0.3)), summary.id
        assert summary.validity_ratio == pytest.approx((1.0, 1.0, 1.0)), summary.id
        assert summary.kept == 1.0, summary.id
    assert report.restored_shares == [0.0, 1.0, 0.0]


def test_letters_and_digits_alone_choose_their_own() -> None:
    report = stability_report(study((0, 1), LETTERS_LIKE | DIGITS_LIKE, GAINS), PAIR)
    found = summaries(report)
    assert (found["letters"].interval, found["letters"].num_prompts) == (LayerInterval(0, 1), 20)
    assert (found["digits"].interval, found["digits"].overlap) == (LayerInterval(1, 3), 0.0)
    assert found["digits"].gain[1] == pytest.approx(0.4)
    # Each wording is asked once for a letter and once for a digit, like all prompts together.
    assert (found["one_wording"].num_choices, found["one_wording"].num_prompts) == (20, 2)
    assert found["one_wording"].same == found["other_wordings"].same == 1.0
    assert found["other_wordings"].num_prompts == 38
    # With five prompts, half of the draws have more digits.
    assert found["sample_5"].same == pytest.approx(0.5, abs=0.1)
    assert found["sample_5"].gain == pytest.approx((0.1, found["sample_5"].gain[1], 0.4))
    assert found["few_characters"].num_prompts + found["many_characters"].num_prompts == NUM_PROMPTS
    # On the held-out prompts 1:3 is the more diverse.
    assert found["held_out"].interval == LayerInterval(1, 3)


def test_a_choice_of_no_interval_changes_nothing() -> None:
    """With 0.85 x instruct's validity, the interval is valid enough for the rule 0.8 and not for 0.9."""
    records = [
        r.model_copy(update={"validity": (0.68,) * NUM_PROMPTS})
        if isinstance(r, CrcScore) and r.interval == (1, 2)
        else r
        for r in study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {(1, 2): [0.5] * NUM_PROMPTS})
    ]
    found = summaries(stability_report(records, PAIR))
    assert found["ratio_0.8"].interval == LayerInterval(1, 2)
    assert (found["ratio_0.8"].validity_ratio[1], found["ratio_0.8"].kept) == (pytest.approx(0.85), 1.0)
    none = found["ratio_0.9"]
    assert (none.interval, none.none, none.same, none.overlap) == (None, 1.0, 0.0, 0.0)
    assert (none.gain[1], none.validity_ratio[1], none.kept) == (0.0, 1.0, 1.0)


def with_min_p(record: AnyRecord) -> AnyRecord:
    """The record as measured with min-p, where 2:3 is chosen."""
    assert isinstance(record, CrcScore)
    diversity = 0.9 if record.interval == (2, 3) else 0.2
    update = {"min_p": 0.1, "validity": (0.8,) * NUM_PROMPTS, "diversity": (diversity,) * NUM_PROMPTS}
    return record.model_copy(update=update)


def test_scores_with_min_p_choose_and_the_result_is_without_it() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {(2, 3): [0.25] * NUM_PROMPTS})
    scores = [with_min_p(record) for record in records if isinstance(record, CrcScore)]
    assert not [v for v in summaries(stability_report(records, PAIR)) if "min_p" in v]
    found = summaries(stability_report([*records, *scores], PAIR))
    assert found["min_p_0.1"].interval == LayerInterval(2, 3)
    assert found["min_p_0.1"].gain[1] == pytest.approx(0.05)
    assert found["min_p_0.1_bootstrap"].overlap == 0.0
    means = {
        (min_p, s.model, s.interval): s.diversity_difference
        for min_p, s in min_p_summaries([*records, *scores], PAIR)
    }
    difference = means[0.1, "hybrid", LayerInterval(2, 3)]
    assert difference is not None
    assert difference.mean == pytest.approx(0.7)


def test_unfinished_studies_say_what_is_missing() -> None:
    records = study((1, 2), {(1, 2): [0.7] * NUM_PROMPTS}, {})
    some = [r for r in records if not (isinstance(r, CrcScore) and r.key.endswith("held_out/hybrid/0:2"))]
    with pytest.raises(
        ValueError, match=r"tiny: 1 intervals have no scores on the held-out prompts: run slr run stability"
    ):
        stability_report(some, PAIR)
    with pytest.raises(ValueError, match="the search chose no interval"):
        stability_report(study(None, {}, {}), PAIR)
