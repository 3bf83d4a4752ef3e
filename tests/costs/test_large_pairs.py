"""The counts of a large search, against sums by hand and against a small search that really streams."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from slr.costs.large_pairs import (
    LLAMA_70B,
    Machine,
    PairShape,
    count_resident,
    count_streamed,
    spread_weights,
)
from slr.crc.layer_evaluations import count_layer_evaluations, group_starts, states_at_layers
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts
from slr.crc.search import _iter_log_probs
from slr.crc.token_tree import TokenTree
from slr.intervals import WHOLE
from slr.models.loading import load_pair
from slr.models.streaming import LayerReader
from tests.conftest import CheckpointPairs

FAST = math.inf
H100 = Machine(card_bytes=80e9, flops_per_second=3e14, read_bytes_per_second=5e9, copy_bytes_per_second=25e9)


@pytest.fixture(scope="module")
def shape() -> PairShape:
    return PairShape.of(LLAMA_70B)


def test_the_shape_is_the_one_of_llama_70b(shape: PairShape) -> None:
    assert shape.model_bytes / 2e9 == pytest.approx(70.55, abs=0.01)
    layer = 8192 * (2 * 8192 + 2 * 8 * 128 + 3 * 28_672 + 2)
    assert shape.layer_bytes == 2 * layer
    assert shape.layer_flops == 2 * layer * shape.tree_tokens


@pytest.mark.parametrize("affordable", [12, 20, 30, 1000])
def test_passes_hold_every_start_once_and_make_all_layer_evaluations(affordable: int) -> None:
    passes = group_starts(12, range(12), affordable)
    assert [start for run in passes for start in run] == list(range(12))
    assert all(sum(12 - start for start in run) <= affordable for run in passes)
    firsts = [0, *(run[-1] for run in passes)]
    states = [
        count
        for run, first in zip(passes, firsts, strict=False)
        for count in states_at_layers(12, run, first)
    ]
    assert sum(states) == count_layer_evaluations(12)


def test_a_streamed_search_reads_as_many_layers_as_are_counted(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"), stream=True)
    encoded = encode_prompts(load_prompts("selection")[::8], pair.tokenizer)
    small = PairShape(
        model=load_pair(*checkpoint_pairs("llama")).instruct_model,
        tree_tokens=len(TokenTree.build(encoded.token_ids)),
    )
    # The model is in float32, whose states are twice as large as the ones that are counted.
    free_bytes = 8 * 4 * small.state_bytes
    outside = 2 * (small.model_bytes - small.num_layers * small.layer_bytes)
    found = count_streamed(small, replace(H100, card_bytes=free_bytes + outside), 1)
    assert found is not None
    assert found.num_passes > 1
    read: list[int] = []
    read_stored = LayerReader._read_stored
    monkeypatch.setattr(
        LayerReader, "_read_stored", lambda self, layer: read.append(layer) or read_stored(self, layer)
    )
    # Half of what is free is the budget.
    budget = 2 * free_bytes // 2
    list(_iter_log_probs(pair, encoded, (WHOLE,), range(pair.num_layers), budget))
    assert len(read) * small.layer_bytes == found.moved_bytes


def test_the_slower_of_reading_and_computing_decides(shape: PairShape) -> None:
    flops = count_layer_evaluations(80) * shape.layer_flops
    fast_disk = replace(H100, read_bytes_per_second=FAST, copy_bytes_per_second=FAST)
    found = count_streamed(shape, fast_disk, 1)
    assert found is not None
    assert found.seconds == pytest.approx(flops / 3e14) == pytest.approx(found.compute_seconds)
    fast_card = replace(H100, flops_per_second=FAST)
    found = count_streamed(shape, fast_card, 1)
    assert found is not None
    assert found.seconds == pytest.approx(found.moved_bytes / 5e9)
    found = count_streamed(shape, replace(fast_card, read_bytes_per_second=FAST), 1)
    assert found is not None
    assert found.seconds == pytest.approx(found.moved_bytes / 25e9)


def test_both_models_are_spread_over_the_cards(shape: PairShape) -> None:
    for num_cards in (4, 8):
        weights = spread_weights(shape.model, H100.card_bytes, num_cards)
        assert weights is not None
        assert sum(weights) == pytest.approx(2 * shape.model_bytes, rel=1e-6)  # buffers come on top
        assert max(weights) <= H100.card_bytes
    assert spread_weights(shape.model, H100.card_bytes, 2) is None
    assert count_resident(shape, H100, 2) is None


def test_states_move_to_the_cards_of_the_layers_and_back(shape: PairShape) -> None:
    found = count_resident(shape, H100, 4)
    assert found is not None
    moved = count_layer_evaluations(80) * shape.state_bytes * 2 * 3 / 4
    assert found.moved_bytes == moved
    assert found.seconds == pytest.approx(found.compute_seconds + moved / 25e9)


def test_a_card_without_room_for_the_states_of_a_start_is_too_small(shape: PairShape) -> None:
    assert count_streamed(shape, replace(H100, card_bytes=12e9), 1) is None
