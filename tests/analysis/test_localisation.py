"""Claims, tables and figures of the localisation study, from scores that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from slr.analysis.claims.localisation import LOCALISATION_CLAIMS
from slr.analysis.figures import captions
from slr.analysis.figures import localisation as figures
from slr.analysis.load_results import Results
from slr.analysis.tables import localisation as tables
from slr.intervals import LayerInterval, Restoration
from slr.runs.records import AnyRecord, CrcScore
from slr.statistics.uncertainty import estimate_difference
from slr.statistics.verdict import Verdict
from tests.crc.test_localisation import records

CLAIMS = {claim.id: claim for claim in LOCALISATION_CLAIMS}


def verdict(claim: str, found: list[AnyRecord]) -> Verdict:
    judged = CLAIMS[claim].verdict(Results(tuple(found)), "tiny")
    assert judged is not None
    return judged


def changed(key: str, validity: float = 0.0, diversity: float = 0.0) -> list[AnyRecord]:
    """The records, with a number added to both scores of one model."""
    found: list[AnyRecord] = []
    for record in records():
        if isinstance(record, CrcScore) and record.key == key:
            uneven = (0.0, 0.001, 0.002, 0.003, 0.004)
            record = record.model_copy(
                update={
                    name: tuple((v or 0.0) + change + u for v, u in zip(values, uneven, strict=True))
                    for name, values, change in (
                        ("validity", record.validity, validity),
                        ("diversity", record.diversity, diversity),
                    )
                }
            )
        found.append(record)
    return found


HYBRID = CrcScore.key_of("tiny", "held_out", "hybrid", (2, 4))
SOUP = CrcScore.key_of("tiny", "held_out", "soup", alpha=0.5)


def test_a_more_diverse_model_beats_if_it_is_not_clearly_less_valid() -> None:
    # The hybrid has diversity 0.49 and validity 0.84; the soup 0.45 and 0.85.
    better = verdict("hybrid_beats_soup", changed(HYBRID, validity=0.02))
    assert better.outcome == "yes"
    assert better.estimate.mean == pytest.approx(0.042)
    bought = verdict("hybrid_beats_soup", changed(HYBRID, validity=-0.05))
    assert (bought.outcome, bought.estimate) == ("cannot tell", better.estimate)
    assert verdict("hybrid_beats_soup", changed(HYBRID, diversity=-0.2)).outcome == "no"
    assert verdict("hybrid_beats_soup", changed(SOUP, diversity=0.2)).outcome == "no"


def test_the_interval_is_compared_with_the_mean_of_random_sets() -> None:
    # All six sets of two layers are drawn. Their mean gain is 2 * 0.03, and the hybrid's is 0.09.
    judged = verdict("collapse_is_localised", changed(HYBRID, validity=0.0))
    assert judged.estimate.mean == pytest.approx(0.03 + 0.002)
    assert judged.outcome == "yes"


def test_an_interval_that_is_the_greedy_set_loses_nothing() -> None:
    judged = verdict("contiguity_is_no_loss", records())
    assert (judged.outcome, judged.estimate.mean, judged.estimate.n) == ("yes", 0.0, 5)


def test_another_greedy_set_is_compared_within_the_margin() -> None:
    # Now layers 0 and 2 gain most, and the greedy set is no interval.
    key = CrcScore.key_of("tiny", "selection", "hybrid", layers=(0, 2))
    found = changed(key, diversity=0.2)
    scores = Results(tuple(found)).localisations["tiny"]
    assert scores.greedy == {0, 2}
    judged = verdict("contiguity_is_no_loss", found)
    expected = estimate_difference(scores.held_out["hybrid"].diversity, scores.held_out["greedy"].diversity)
    assert judged.estimate == expected
    far = CrcScore.key_of("tiny", "held_out", "hybrid", layers=(0, 2))
    worse = [
        r if r.key != far else r.model_copy(update={"diversity": (0.9, 0.91, 0.92, 0.9, 0.93)}) for r in found
    ]
    assert verdict("contiguity_is_no_loss", worse).outcome == "no"


def test_whole_layers_chosen_at_any_alpha_do_not_beat_themselves() -> None:
    found = [
        r
        for r in records()
        if not (isinstance(r, CrcScore) and r.interval in {(1, 4), (1, 3)} and r.alpha is None)
    ]
    scores = Results(tuple(found)).localisations["tiny"]
    assert scores.choices["partial"] == Restoration(LayerInterval(2, 4))
    judged = verdict("partial_beats_whole", found)
    assert (judged.outcome, judged.estimate.mean) == ("no", 0.0)


def test_a_pair_that_was_not_studied_has_no_verdict() -> None:
    unstudied = Results(tuple(r for r in records() if not isinstance(r, CrcScore) or r.layers is None))
    assert all(claim.verdict(unstudied, "tiny") is None for claim in LOCALISATION_CLAIMS)


def test_tables_have_a_row_for_each_compared_model() -> None:
    results = Results(tuple(records()))
    partial = tables.partial_restoration(results)
    assert [row[1] for row in partial.rows] == list(tables.PARTIAL.values())
    assert {row[1]: row[2] for row in partial.rows}["soup"] == "all weights at alpha 0.5"
    assert [row[1] for row in tables.components(results).rows] == ["instruct", "whole layers", "MLP"]
    sets = {row[1]: row[2] for row in tables.contiguity(results).rows}
    assert sets["greedy set"] == "layers 2, 3"
    assert sets["random sets, mean"] == "2 layers, 6 sets"
    [added] = tables.additivity(results).rows
    assert added[:3] == ("tiny", 6, 5)


def test_figures_show_every_random_set_and_interval() -> None:
    results = Results(tuple(records()))
    sets, gains = figures.contiguity(results).axes
    assert np.shape(sets.collections[0].get_offsets())[0] == 6
    assert np.shape(gains.collections[0].get_offsets())[0] == 6
    labels = [text.get_text() for text in figures.components(results).axes[0].get_yticklabels()]
    assert labels == ["whole layers", "MLP"]
    lines = [line.get_label() for line in figures.partial_restoration(results).axes[0].get_lines()]
    assert {"intervals, alpha 0.5", "intervals, alpha 1", "soups", "soups of decoder layers"} <= set(lines)
    assert "slope 1.000" in captions.contiguity(results)
    assert "layers 1:4 at any alpha, layers 2:4 whole" in captions.partial_restoration(results)
    assert "MLP 0:4" in captions.components(results)
