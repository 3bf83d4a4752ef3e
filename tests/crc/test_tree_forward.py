"""Whole models scored over the token tree, against their plain forwards."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3Config, PreTrainedModel

from slr.crc.prompts import load_prompts
from slr.crc.scoring import PromptScores, encode_prompts, score_model
from slr.crc.tree_forward import score_by_tree
from slr.hybrid import interpolate, restore
from slr.intervals import LayerInterval
from slr.models.loading import ModelPair, load_pair
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES, CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer, spread_over_devices

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
    assert found.validity == pytest.approx(expected.validity, abs=1e-5, rel=0)
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


@pytest.mark.parametrize("spread", [False, True])
def test_a_model_is_given_up_before_the_next_is_made(checkpoint_pairs: CheckpointPairs, spread: bool) -> None:
    """Garbage collection by itself may come too late, and is out of the way here."""
    pair = load_pair(*checkpoint_pairs("llama"))
    for model in (pair.base_model, pair.instruct_model) if spread else ():
        spread_over_devices(model)
    made: list[weakref.ref[PreTrainedModel]] = []

    def soup(alpha: float) -> PreTrainedModel:
        assert all(reference() is None for reference in made)
        mixed = interpolate(pair, alpha)
        made.append(weakref.ref(mixed))
        return mixed

    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    soups = (soup(alpha) for alpha in (0.2, 0.4, 0.6))
    gc.collect()
    gc.disable()
    try:
        assert len(list(score_by_tree(soups, encoded))) == len(made) == 3
    finally:
        gc.enable()


def test_nested_configurations_are_read_and_not_altered() -> None:
    """Of a model of text and images, as the larger Gemma 3 are, the decoder has a configuration of its own."""
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    text = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 8,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    encoded = encode_prompts(PROMPTS, tokenizer)
    [scores] = score_by_tree([model], encoded)
    assert_same(scores, score_model(model, encoded))
    assert model.config.get_text_config()._attn_implementation == "sdpa"
