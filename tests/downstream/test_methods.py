"""What the compared models are made of follows from the search's record alone."""

from __future__ import annotations

import pytest

from slr.downstream.methods import (
    BASELINES,
    CONTROLS,
    DECODING,
    PROMPTING,
    Method,
    interval_of,
    is_available,
)
from slr.intervals import LayerInterval
from slr.runs.records import CrcSelection
from slr.vocabulary import ComparedModel
from tests.analysis.synthetic import PROVENANCE


def selection(interval: tuple[int, int] | None, num_layers: int = 12, pair: str = "pair") -> CrcSelection:
    return CrcSelection(
        experiment="crc_search",
        pair=pair,
        provenance=PROVENANCE,
        family="llama",
        num_layers=num_layers,
        min_validity_ratio=0.9,
        instruct_validity=0.5,
        interval=interval,
        interval_reason="",
        soup_alpha=0.4 if interval else None,
        soup_reason="",
    )


RANDOM: tuple[ComparedModel, ...] = ("random-1", "random-2", "random-3")


def test_intervals_of_the_same_length() -> None:
    chosen = selection((4, 8))
    assert interval_of("hybrid", chosen) == LayerInterval(4, 8)
    assert interval_of("early", chosen) == LayerInterval(0, 4)
    assert interval_of("late", chosen) == LayerInterval(8, 12)
    others = [interval_of(model, chosen) for model in RANDOM]
    assert len(set(others)) == 3
    assert all(other is not None and len(other) == 4 for other in others)
    assert not set(others) & {LayerInterval(4, 8), LayerInterval(0, 4), LayerInterval(8, 12)}
    assert others == [interval_of(model, chosen) for model in RANDOM]
    assert others != [interval_of(model, selection((4, 8), pair="other")) for model in RANDOM]


def test_nothing_is_made_of_nothing() -> None:
    none = selection(None)
    assert [method.id for method in BASELINES if is_available(method.model, none)] == [
        "instruct",
        "base",
    ]
    assert [method.id for method in CONTROLS if is_available(method.model, none)] == ["instruct"]


def test_an_interval_that_is_the_chosen_one_is_left_out() -> None:
    assert not is_available("late", selection((8, 12)))
    assert not is_available("early", selection((0, 4)))
    assert is_available("early", selection((8, 12)))


def test_too_few_other_intervals() -> None:
    chosen = selection((1, 4), num_layers=5)  # of length 3 there are 0:3, 1:4 and 2:5 only
    assert not any(is_available(model, chosen) for model in RANDOM)


@pytest.mark.parametrize("methods", [BASELINES, CONTROLS, DECODING, PROMPTING])
def test_ids_are_unique_and_settings_too(methods: tuple[Method, ...]) -> None:
    assert len({method.id for method in methods}) == len(methods)
    settings = {(c.model, c.sampling, c.prompting) for c in methods}
    assert len(settings) == len(methods)


def test_every_method_is_with_and_without_restored_layers() -> None:
    for methods in (DECODING, PROMPTING):
        of_instruct = {(m.sampling, m.prompting) for m in methods if m.model == "instruct"}
        assert of_instruct == {(m.sampling, m.prompting) for m in methods if m.model == "hybrid"}
