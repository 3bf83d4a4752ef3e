"""Whole models scored over the token tree, against their plain forwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from transformers import PreTrainedModel

from slr.checkpoints import ModelPair, load_pair
from slr.crc import layer_inputs
from slr.crc.prompts import load_prompts
from slr.crc.scoring import PromptScores, encode_prompts, score_model
from slr.crc.tree_forward import score_by_tree
from slr.hybrid import interpolate, restore
from slr.intervals import LayerInterval
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES

PROMPTS = load_prompts("held_out")[::5]


def models_of(pair: ModelPair) -> list[PreTrainedModel]:
    """One of each kind that a study scores."""
    return [
        pair.base_model,
        pair.instruct_model,
        restore(pair, LayerInterval(1, 3)),
        restore(pair, LayerInterval(1, 3), alpha=0.3),
        interpolate(pair, 0.6),
    ]


def assert_same(found: PromptScores, expected: PromptScores) -> None:
    assert found.prompt_ids == expected.prompt_ids
    np.testing.assert_allclose(found.validity, expected.validity, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        np.array(found.diversity, float), np.array(expected.diversity, float), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_plain_forwards(checkpoint_pairs: CheckpointPairs, architecture: str, stream: bool) -> None:
    paths = checkpoint_pairs(architecture)
    pair = load_pair(*paths, stream=stream)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    found = list(score_by_tree(models_of(pair), encoded))
    for scores, model in zip(found, models_of(load_pair(*paths)), strict=True):
        assert_same(scores, score_model(model, encoded))


def test_a_model_is_given_up_before_the_next_is_made(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    made: list[weakref.ref[PreTrainedModel]] = []

    def soups() -> Iterator[PreTrainedModel]:
        for alpha in (0.2, 0.4, 0.6):
            gc.collect()
            assert all(reference() is None for reference in made)
            made.append(weakref.ref(soup := interpolate(pair, alpha)))
            yield soup
            del soup

    assert len(list(score_by_tree(soups(), encode_prompts(PROMPTS, pair.tokenizer)))) == len(made) == 3


def test_a_model_that_computes_otherwise_is_refused(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = load_pair(*checkpoint_pairs("gemma2"))
    monkeypatch.setattr(layer_inputs, "_may_attend", lambda _mask, causal: causal)
    with pytest.raises(RuntimeError, match="does not reproduce Gemma2ForCausalLM"):
        next(score_by_tree([pair.instruct_model], encode_prompts(PROMPTS, pair.tokenizer)))
