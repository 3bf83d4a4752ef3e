from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from slr.crc.contrasts import crc_contrasts
from slr.crc.prompts import load_prompts
from slr.crc.report import crc_report, interval_candidates, rule_in_words, summarise
from slr.crc.selection import SelectionRule
from slr.crc.study_faults import study_fault
from slr.intervals import LayerInterval, all_intervals
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.vocabulary import ModelKind, PromptSet
from tests.runs.test_results_store import provenance

NUM_LAYERS = 3
CHOSEN = (1, 3)


def score(
    model: ModelKind,
    prompt_set: PromptSet,
    validity: float,
    diversity: float | None,
    interval: tuple[int, int] | None = None,
    alpha: float | None = None,
) -> CrcScore:
    """A score that is higher by 0.1 on every digit prompt."""
    prompts = load_prompts(prompt_set)[::4]
    digits = [0.1 * (prompt.category == "digits") for prompt in prompts]
    return CrcScore(
        experiment="crc_search",
        pair="tiny",
        provenance=provenance(),
        family="llama",
        num_layers=NUM_LAYERS,
        model=model,
        interval=interval,
        alpha=alpha,
        prompt_set=prompt_set,
        prompt_ids=tuple(prompt.id for prompt in prompts),
        validity=tuple(validity + extra for extra in digits),
        diversity=tuple(None if diversity is None else diversity + extra for extra in digits),
    )


def study(interval: tuple[int, int] | None = CHOSEN, alpha: float | None = 0.2) -> list[AnyRecord]:
    records: list[AnyRecord] = []
    for prompt_set in ("selection", "held_out"):
        records += [score("base", prompt_set, 0.3, 0.8), score("instruct", prompt_set, 0.8, 0.2)]
    for tried in all_intervals(NUM_LAYERS):
        ends = tried.ends
        diversity = 0.6 if ends == CHOSEN else 0.3
        records.append(score("hybrid", "selection", 0.75, diversity, interval=ends))
    records.append(score("soup", "selection", 0.8, 0.25, alpha=0.2))
    if interval is not None:
        records.append(score("hybrid", "held_out", 0.7, 0.5, interval=interval))
    if alpha is not None:
        records.append(score("soup", "held_out", 0.7, None, alpha=alpha))
    records.append(
        CrcSelection(
            experiment="crc_search",
            pair="tiny",
            provenance=provenance(),
            family="llama",
            num_layers=NUM_LAYERS,
            min_validity_ratio=0.9,
            instruct_validity=0.8,
            interval=interval,
            interval_reason="highest diversity" if interval else "none: not valid enough",
            soup_alpha=alpha,
            soup_reason="highest diversity" if alpha else "none: not valid enough",
        )
    )
    return records


def with_held_out_validity(model: ModelKind, validity: float) -> list[AnyRecord]:
    """The study with that validity of one model, on every held-out prompt."""
    return [
        record.model_copy(update={"validity": (validity,) * len(record.prompt_ids)})
        if isinstance(record, CrcScore) and (record.model, record.prompt_set) == (model, "held_out")
        else record
        for record in study()
    ]


def another_choice(record: AnyRecord, **fields: object) -> AnyRecord:
    assert isinstance(record, CrcSelection)
    return record.model_copy(update=fields)


def share_of_digits(prompt_set: PromptSet) -> float:
    return float(np.mean([prompt.category == "digits" for prompt in load_prompts(prompt_set)[::4]]))


def test_means_and_paired_differences():
    report = crc_report(study(), "tiny")
    assert [(summary.model, summary.prompt_set) for summary in report.models] == [
        (model, prompt_set)
        for prompt_set in ("selection", "held_out")
        for model in ("base", "instruct", "hybrid", "soup")
    ]
    hybrid = report.summary("hybrid", "held_out")
    assert hybrid is not None
    assert hybrid.interval == LayerInterval(*CHOSEN)
    assert hybrid.diversity is not None
    assert hybrid.diversity.mean == pytest.approx(0.5 + 0.1 * share_of_digits("held_out"))
    assert hybrid.diversity_difference is not None
    # The same for each prompt but for rounding, so the differences do not show their spread.
    assert hybrid.diversity_difference.mean == pytest.approx(0.3)
    assert hybrid.diversity_difference.low is None
    assert hybrid.validity_difference is not None
    assert hybrid.validity_difference.mean == pytest.approx(-0.1)


def test_ratio_of_validities():
    """(0.75 + 0.1 s) / (0.8 + 0.1 s) and (0.7 + 0.1 s) / (0.8 + 0.1 s), with the share s of digits."""
    report = crc_report(study(), "tiny")
    cases: tuple[tuple[PromptSet, float, bool], ...] = (("selection", 0.75, True), ("held_out", 0.7, False))
    for prompt_set, validity, is_kept in cases:
        extra = 0.1 * share_of_digits(prompt_set)
        summary = report.summary("hybrid", prompt_set)
        assert summary is not None
        assert summary.validity_ratio is not None
        assert summary.validity_ratio.mean == pytest.approx((validity + extra) / (0.8 + extra))
        assert summary.validity_ratio.low is not None
        assert summary.validity_ratio.low < summary.validity_ratio.mean
        assert report.keeps_rule("hybrid", prompt_set) is is_kept
    letters = report.summary("hybrid", "held_out", "letters")
    assert letters is not None
    assert letters.validity_ratio is not None
    assert letters.validity_ratio.mean == pytest.approx(0.7 / 0.8)


def test_the_instruct_model_is_not_compared_to_itself():
    report = crc_report(study(), "tiny")
    compared = [summary for summary in (*report.models, *report.by_category) if summary.model == "instruct"]
    assert len(compared) == 6
    for summary in compared:
        assert (summary.validity_ratio, summary.validity_difference, summary.diversity_difference) == (
            None,
        ) * 3
    assert report.keeps_rule("instruct", "held_out") is None


def test_a_rule_missed_on_held_out_prompts_is_said_with_what_to_do():
    hybrid, soup = rule_in_words(crc_report(study(), "tiny"))
    assert hybrid.startswith("On the held-out prompts the hybrid keeps 0.8")
    assert "of the instruct model's validity: the rule (at least 0.9) is missed there; `--margin`" in hybrid
    assert soup.endswith("is missed there.")


def test_a_rule_kept_on_held_out_prompts_is_said():
    hybrid, soup = rule_in_words(crc_report(with_held_out_validity("hybrid", 0.8), "tiny"))
    assert hybrid.endswith("the rule (at least 0.9) is kept there.")
    assert soup.endswith("is missed there.")


def test_nothing_chosen_is_said_with_what_to_do():
    records = study(interval=None, alpha=None)
    assert rule_in_words(crc_report(records, "tiny")) == [
        "No layers are valid enough; `--min-validity` below 0.9 admits more."
    ]
    records[-1] = another_choice(records[-1], margin=True)
    assert rule_in_words(crc_report(records, "tiny")) == [
        "No layers are valid enough; `--min-validity` below 0.9, or no `--margin`, admits more."
    ]


def test_candidates_know_their_ratio():
    found = {str(c.choice): c for c in interval_candidates(study())}
    ratio = found["1:3"].validity_ratio
    summary = crc_report(study(), "tiny").summary("hybrid", "selection")
    assert summary is not None
    assert ratio == summary.validity_ratio
    without_instruct = [r for r in study() if not (isinstance(r, CrcScore) and r.model == "instruct")]
    assert all(c.validity_ratio is None for c in interval_candidates(without_instruct))


def test_a_report_is_by_the_rule_asked_for():
    records = study()
    careful = another_choice(records[-1], margin=True, interval=(0, 1))
    lower = another_choice(records[-1], min_validity_ratio=0.8, interval=(2, 3))
    both = [*records[:-1], careful, lower]
    assert str(crc_report([*both, records[-1]], "tiny").interval) == "1:3"  # the paper's, though made last
    assert str(crc_report(both, "tiny").interval) == "0:1"  # the first
    assert str(crc_report(both, "tiny", SelectionRule(0.8)).interval) == "2:3"
    assert crc_report(both, "tiny", SelectionRule(0.8)).min_validity == pytest.approx(0.64)
    with pytest.raises(ValueError, match="no selection yet"):
        crc_report(both, "tiny", SelectionRule(0.7))


def test_with_a_margin_fewer_are_admitted():
    records = study()
    records[-1] = another_choice(records[-1], margin=True)
    tight = crc_report(records, "tiny")
    assert [str(c.choice) for c in tight.best] == ["1:3", "0:1", "1:2", "2:3", "0:2"]
    records[-1] = another_choice(records[-1], margin=True, min_validity_ratio=0.94)
    assert crc_report(records, "tiny").best == ()  # the ratio is 0.9375 for letters and 0.9444 for digits
    assert crc_report(records, "tiny").min_validity == pytest.approx(0.752)


def test_categories_apart():
    report = crc_report(study(), "tiny")
    assert len(report.by_category) == 16
    letters, digits = (report.summary("base", "selection", category) for category in ("letters", "digits"))
    assert letters is not None
    assert letters.validity is not None
    assert digits is not None
    assert digits.validity is not None
    assert (letters.validity.mean, digits.validity.mean) == pytest.approx((0.3, 0.4))
    assert letters.validity.n + digits.validity.n == len(load_prompts("selection")[::4])


def test_an_undefined_diversity_stays_undefined():
    soup = crc_report(study(), "tiny").summary("soup", "held_out")
    assert soup is not None
    assert soup.diversity is None
    assert soup.diversity_difference is None
    assert soup.validity is not None


def test_best_intervals_and_front():
    report = crc_report(study(), "tiny")
    assert [str(candidate.choice) for candidate in report.best] == ["1:3", "0:1", "1:2", "2:3", "0:2"]
    assert [str(candidate.choice) for candidate in report.front] == ["1:3"]
    assert report.min_validity == pytest.approx(0.72)


def test_without_an_admissible_interval_the_reason_is_there():
    report = crc_report(study(interval=None, alpha=None), "tiny")
    assert report.interval is None
    assert report.interval_reason == "none: not valid enough"
    assert {summary.model for summary in report.models} == {"base", "instruct"}


def test_an_unfinished_study_is_an_error():
    with pytest.raises(ValueError, match="no selection yet"):
        crc_report(study()[:-1], "tiny")
    with pytest.raises(ValueError, match="records of other hold no selection"):
        crc_report(study(), "other")


def test_scores_with_min_p_change_nothing_in_reports_and_contrasts():
    records = study()
    scores = [record for record in records if isinstance(record, CrcScore)]
    with_min_p = [score.model_copy(update={"min_p": 0.1, "validity": score.diversity}) for score in scores]
    assert len({record.key for record in (*records, *with_min_p)}) == len(records) + len(with_min_p)
    both = [*with_min_p, *records, *with_min_p]
    assert crc_report(both, "tiny") == crc_report(records, "tiny")
    [choice] = [record for record in records if isinstance(record, CrcSelection)]
    comparable = [
        r.model_copy(update={"diversity": r.validity}) if isinstance(r, CrcScore) else r for r in records
    ]
    assert crc_contrasts([*with_min_p, *comparable], "tiny", choice) == crc_contrasts(
        comparable, "tiny", choice
    )
    assert study_fault([*with_min_p[:3], *records], "tiny") is None


def test_needs_no_torch():
    code = "import sys, slr.crc.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_that_is_not_finite_on_a_prompt_has_no_mean():
    finite, instruct = score("hybrid", "held_out", 0.7, 0.5, CHOSEN), score("instruct", "held_out", 0.8, 0.2)
    overflowing = finite.model_copy(
        update={"validity": (None, *finite.validity[1:]), "diversity": (None, *finite.diversity[1:])}
    )
    summary = summarise(overflowing, instruct)
    assert (summary.validity, summary.diversity, summary.validity_ratio) == (None,) * 3
    assert (summary.validity_difference, summary.diversity_difference) == (None,) * 2
    assert summarise(finite, instruct).validity is not None
