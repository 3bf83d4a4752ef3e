from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from slr.analysis.figures.captions import quality_cost as caption
from slr.analysis.figures.quality_cost import OFFSETS, quality_cost
from slr.analysis.load_results import Results
from slr.analysis.needs import QUALITY, contrasts_of
from slr.analysis.tables.contrasts import quality_contrasts
from slr.analysis.tables.quality import quality
from slr.figure_style import MODEL_COLORS, use_style
from slr.runs.records import HarnessScore
from slr.vocabulary import ComparedModel
from tests.analysis.synthetic import PROVENANCE

INSTRUCT = (1.0, 1.0, 1.0, 0.0) * 3
SCORES: dict[ComparedModel, tuple[float, ...]] = {
    "instruct": INSTRUCT,
    "base": (0.0,) * 12,
    "hybrid": (1.0, 1.0, 0.0, 0.0) * 3,
    "soup": INSTRUCT,
}


def score(
    pair: str, model: ComparedModel, metric: str, values: tuple[float, ...], **changes: Any
) -> HarnessScore:
    return HarnessScore(
        experiment="quality",
        pair=pair,
        provenance=PROVENANCE,
        family="llama",
        model=model,
        references={"instruct": (), "hybrid": ("instruct", "soup")}.get(model, ("instruct",)),
        interval=(1, 2) if model == "hybrid" else None,
        alpha=0.5 if model == "soup" else None,
        task="gsm8k",
        task_version="3.0",
        num_fewshot=5,
        chat_template=True,
        metric=metric,
        value=sum(values) / len(values),
        standard_error=0.25,
        document_scores=values,
        harness_version="0.4.13",
    ).model_copy(update=changes)


@pytest.fixture
def results() -> Results:
    return Results(
        tuple(
            score(pair, model, f"exact_match,{reader}", values)
            for pair in ("pair-one", "pair-two")
            for model, values in SCORES.items()
            for reader in ("strict-match", "flexible-extract")
        )
    )


def test_a_row_a_score(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(quality(results).csv())))
    assert len(rows) == 2 * 2 * 4
    hybrid = next(row for row in rows if row["model"] == "SLR hybrid")
    assert (hybrid["task"], hybrid["documents"], hybrid["examples"]) == ("gsm8k", "12", "5")
    assert float(hybrid["score"]) == 0.5
    assert "lm-evaluation-harness 0.4.13." in quality(results).caption


def test_contrasts_are_paired_by_document_with_the_reference_that_is_named(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(quality_contrasts(results).csv())))
    assert len(rows) == 2 * 2 * 4
    hybrid = [row for row in rows if row["method"] == "hybrid" and row["pair"] == "pair-one"]
    assert [(row["compared with"], row["items"]) for row in hybrid] == [
        ("instruct", "12"),
        ("soup", "12"),
    ] * 2
    assert float(hybrid[0]["mean"]) == 0.5
    assert float(hybrid[0]["difference"]) == -0.25
    # Three of twelve differences are -1: standard error sqrt(0.25 * 0.75 / 11), t of 97% 2.4907.
    assert float(hybrid[0]["difference low"]) == pytest.approx(-0.25 - 2.4907 * 0.13056, abs=1e-3)
    assert float(hybrid[0]["difference high"]) == pytest.approx(-0.25 + 2.4907 * 0.13056, abs=1e-3)
    # Of 8 sign flips of the three two are as far from 0: p = 1/4, times the 8 contrasts of the pair.
    assert float(hybrid[0]["p"]) == 1.0
    assert hybrid[0]["family size"] == "8"


def test_a_panel_a_pair_and_a_row_a_metric(results: Results) -> None:
    use_style()
    figure = quality_cost(results)
    assert [axes.get_title() for axes in figure.axes] == ["pair-one", "pair-two"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["gsm8k\nflexible-extract", "gsm8k\nstrict-match"]
    markers = figure.axes[0].collections
    assert len(markers) == 2 * len(OFFSETS)
    means = {
        to_hex(np.asarray(m.get_facecolor())[0]).upper(): np.asarray(m.get_offsets())[0, 0] for m in markers
    }
    expected = {"hybrid": -0.25, "soup": 0.0, "base": -0.75}
    assert means == {MODEL_COLORS[name]: mean for name, mean in expected.items()}


def test_the_caption_counts(results: Results) -> None:
    assert "(documents: gsm8k 12)" in caption(results)
    assert "scores higher in 0 and lower in 0 of 4 comparisons" in caption(results)


def test_what_is_missing_names_the_command() -> None:
    assert not QUALITY.found(Results((), "paper"))
    assert QUALITY.command(Results((), "paper")) == "slr run quality --preset paper"


def test_without_its_reference_a_model_is_not_compared() -> None:
    alone = Results((score("pair-one", "hybrid", "acc,none", INSTRUCT),))
    need = contrasts_of("quality")
    assert not need.found(alone)
    (reason,) = need.lacking(alone)
    assert (
        "'hybrid' is compared with 'instruct', which has no scores of the same documents of gsm8k" in reason
    )
