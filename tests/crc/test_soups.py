"""Soups of a streamed pair in one walk, against soups made and scored one by one."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from slr.crc import soups as soups_module
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.soups import score_soups
from slr.hybrid import interpolate
from slr.models.loading import load_pair
from slr.models.streaming import LayerReader
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES

ALPHAS = (0.0, 0.3, 0.75, 1.0)
PROMPTS = load_prompts("selection")[::8]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_walk_equals_soups_in_memory(
    checkpoint_pairs: CheckpointPairs, architecture: str, tied: bool
) -> None:
    paths = checkpoint_pairs(architecture, tied=tied)
    whole = load_pair(*paths)
    encoded = encode_prompts(PROMPTS, whole.tokenizer)
    in_memory = list(score_soups(whole, ALPHAS, encoded))
    streamed = list(score_soups(load_pair(*paths, stream=True), ALPHAS, encoded))
    for alpha, in_one_walk, by_itself in zip(ALPHAS, streamed, in_memory, strict=True):
        expected = score_model(interpolate(whole, alpha), encoded)
        for found in (in_one_walk, by_itself):
            assert found.validity == pytest.approx(expected.validity, abs=1e-5)
            np.testing.assert_allclose(
                np.array(found.diversity, float), np.array(expected.diversity, float), rtol=0, atol=1e-4
            )


def test_prompts_in_groups_score_the_same(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = load_pair(*checkpoint_pairs("gemma2"), stream=True)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    expected = list(score_soups(pair, ALPHAS, encoded))
    monkeypatch.setattr(soups_module, "memory_budget", lambda _model: 300_000)
    assert len(soups_module.prompt_groups(encoded, pair.instruct_model, 300_000, len(ALPHAS))) > 1
    for found, wanted in zip(score_soups(pair, ALPHAS, encoded), expected, strict=True):
        assert found.validity == pytest.approx(wanted.validity, abs=1e-5)


def test_more_soups_read_no_more_layers(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"), stream=True)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    read: list[int] = []
    read_stored = LayerReader._read_stored
    monkeypatch.setattr(
        LayerReader, "_read_stored", lambda self, layer: read.append(layer) or read_stored(self, layer)
    )

    def layers_read(alphas: Sequence[float]) -> int:
        read.clear()
        list(score_soups(pair, alphas, encoded))
        return len(read)

    assert layers_read((0.5,)) == layers_read((0.5, 0.2, 0.9)) > 2 * pair.num_layers


@pytest.mark.parametrize("stream", [True, False])
def test_an_impossible_alpha_is_refused(checkpoint_pairs: CheckpointPairs, stream: bool) -> None:
    pair = load_pair(*checkpoint_pairs("llama"), stream=stream)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    with pytest.raises(ValueError, match=r"alpha is 1.5, expected a number in \[0, 1\]"):
        list(score_soups(pair, (0.5, 1.5), encoded))
