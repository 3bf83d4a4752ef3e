"""The logit lens, against plain forwards and against the final norm and head applied by hand."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from slr.crc.prompts import load_prompts
from slr.crc.scoring import EncodedPrompts, encode_prompts
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.mechanism.logit_lens import lens_entropies, next_token_entropies
from slr.models.loading import ModelPair, load_pair
from tests.conftest import CheckpointPairs


@pytest.fixture(params=["llama", "qwen2", "gemma2"])
def pair(checkpoint_pairs: CheckpointPairs, request: pytest.FixtureRequest) -> ModelPair:
    loaded = load_pair(*checkpoint_pairs(request.param))
    if request.param == "gemma2":
        # Without large logits the soft-capping would change nothing, and its absence would not show.
        with torch.no_grad():
            cast(nn.Linear, loaded.instruct_model.get_output_embeddings()).weight.mul_(20)
    return loaded


def encoded_prompts(pair: ModelPair) -> EncodedPrompts:
    return encode_prompts(load_prompts("held_out")[:5], pair.tokenizer)


def test_the_last_layer_gives_the_models_own_next_token(pair: ModelPair) -> None:
    encoded = encoded_prompts(pair)
    hybrid = restore(pair, LayerInterval(1, 3))
    for model in (pair.base_model, pair.instruct_model, hybrid):
        expected = []
        for token_ids in encoded.token_ids:
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([token_ids])).logits[0, -1]
            expected.append(torch.distributions.Categorical(logits=logits.double()).entropy().item())
        np.testing.assert_allclose(lens_entropies(model, encoded)[-1], expected, atol=1e-4)


def test_an_earlier_layer_is_read_by_the_models_own_norm_head_and_capping(pair: ModelPair) -> None:
    encoded = encoded_prompts(pair)
    model = pair.instruct_model
    cap = getattr(model.config, "final_logit_softcapping", None)
    assert (cap is not None) == (model.config.model_type == "gemma2")
    norm = model.get_submodule("model.norm")
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    entropies = lens_entropies(model, encoded)
    assert entropies.shape == (5, len(encoded.prompts))
    for prompt, token_ids in enumerate(encoded.token_ids):
        with torch.inference_mode():
            output = model(input_ids=torch.tensor([token_ids]), output_hidden_states=True)
            for layer in range(4):  # transformers gives the last layer's states only behind the final norm
                logits = head(norm(output.hidden_states[layer + 1][0, -1]))
                logits = logits if cap is None else cap * torch.tanh(logits / cap)
                expected = torch.distributions.Categorical(logits=logits.double()).entropy().item()
                assert entropies[layer, prompt] == pytest.approx(expected, abs=1e-4)


def test_a_hybrid_is_the_instruct_model_up_to_its_first_restored_layer(pair: ModelPair) -> None:
    encoded = encoded_prompts(pair)
    instruct = lens_entropies(pair.instruct_model, encoded)
    hybrid = lens_entropies(restore(pair, LayerInterval(2, 4)), encoded)
    np.testing.assert_array_equal(hybrid[:2], instruct[:2])
    assert (hybrid[2:] != instruct[2:]).any()


def test_entropies_of_known_distributions() -> None:
    logits = torch.tensor([[0.0] * 4, [0.0, 0.0, -torch.inf, -torch.inf], [math.nan, 0.0, 0.0, 0.0]])
    even, halves, undefined = next_token_entropies(logits).tolist()
    assert even == pytest.approx(math.log(4))
    assert halves == pytest.approx(math.log(2))
    assert math.isnan(undefined)
