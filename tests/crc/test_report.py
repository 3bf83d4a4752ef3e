from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from slr.crc.prompts import load_prompts
from slr.crc.report import crc_report
from slr.intervals import LayerInterval, all_intervals
from slr.records import AnyRecord, CrcScore, CrcSelection, ModelKind, PromptSet
from tests.test_results_store import provenance

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
        ends = (tried.start, tried.end)
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


def share_of_digits(prompt_set: PromptSet) -> float:
    return float(np.mean([prompt.category == "digits" for prompt in load_prompts(prompt_set)[::4]]))


def test_means_and_paired_differences():
    report = crc_report(study(), "tiny")
    assert [(line.model, line.prompt_set) for line in report.models] == [
        (model, prompt_set)
        for prompt_set in ("selection", "held_out")
        for model in ("base", "instruct", "hybrid", "soup")
    ]
    hybrid = report.line("hybrid", "held_out")
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


def test_categories_apart():
    report = crc_report(study(), "tiny")
    assert len(report.by_category) == 16
    letters, digits = (report.line("base", "selection", category) for category in ("letters", "digits"))
    assert letters is not None
    assert letters.validity is not None
    assert digits is not None
    assert digits.validity is not None
    assert (letters.validity.mean, digits.validity.mean) == pytest.approx((0.3, 0.4))
    assert letters.validity.n + digits.validity.n == len(load_prompts("selection")[::4])


def test_an_undefined_diversity_stays_undefined():
    soup = crc_report(study(), "tiny").line("soup", "held_out")
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
    assert {line.model for line in report.models} == {"base", "instruct"}


def test_an_unfinished_study_is_an_error():
    with pytest.raises(ValueError, match="no selection yet"):
        crc_report(study()[:-1], "tiny")
    with pytest.raises(ValueError, match="records of other hold no selection"):
        crc_report(study(), "other")


def test_needs_no_torch():
    code = "import sys, slr.crc.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
