"""Models that cannot be computed layer by layer are noticed, whatever their dtype, by plain forwards in float32."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from slr.crc import layer_inputs
from slr.crc.layer_check import check_same_log_probs, in_float32
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts
from slr.crc.search import search
from slr.crc.tree_forward import score_by_tree
from slr.models.loading import load_pair
from slr.models.reference import UnusablePairError
from tests.conftest import CheckpointPairs
from tests.tiny_models import spread_over_devices

PROMPTS = load_prompts("selection")[:2]
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_masks_that_are_misread_are_noticed(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    pair = load_pair(*checkpoint_pairs("gemma2"), dtype=dtype)
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    assert len(list(score_by_tree([pair.instruct_model], encoded))) == 1
    assert search(pair, PROMPTS).intervals
    monkeypatch.setattr(layer_inputs, "_may_attend", lambda _mask, causal: causal)
    refusal = r"instruct cannot be searched, .* Gemma2ForCausalLM .* differ from the plain forward's by up to"
    with pytest.raises(UnusablePairError, match=refusal):
        next(score_by_tree([pair.instruct_model], encoded))
    with pytest.raises(UnusablePairError, match=refusal):
        search(pair, PROMPTS)


@pytest.mark.parametrize(("stream", "spread"), [(False, False), (False, True), (True, False)])
def test_a_model_converted_layer_by_layer_computes_as_one_converted_whole(
    checkpoint_pairs: CheckpointPairs, stream: bool, spread: bool
) -> None:
    paths = checkpoint_pairs("gemma3")
    pair, whole = (load_pair(*paths, dtype=torch.bfloat16, stream=s) for s in (stream, False))
    for model in (pair.base_model, pair.instruct_model) if spread else ():
        spread_over_devices(model)
    tokens = torch.arange(5, 45)[None]
    expected = copy.deepcopy(whole.instruct_model).float()(tokens).logits
    assert torch.equal(in_float32(pair.instruct_model)(tokens).logits, expected)
    assert pair.instruct_model(tokens).logits.dtype == torch.bfloat16
    mixed = in_float32(pair.instruct_model, layers_of=pair.base_model)(tokens).logits
    assert not torch.allclose(mixed, expected)


def test_what_is_finite_is_compared() -> None:
    for same in ([NAN, -1.0], [-INF, -1.0]):
        check_same_log_probs(np.array([same]), np.array([same]))
    check_same_log_probs(np.array([[NAN, NAN]]), np.array([[NAN, -1.0]]))
    for found, expected in (
        ([NAN, -1.0], [-1.0, -1.0]),
        ([NAN, -2.0], [NAN, -1.0]),
        ([-INF, -1.0], [-1.0, -1.0]),
    ):
        with pytest.raises(RuntimeError, match="log-probabilities differ"):
            check_same_log_probs(np.array([found]), np.array([expected]))


def test_how_much_is_allowed() -> None:
    expected = np.full((2, 10), -3.0)
    for row, column in itertools.product(range(2), range(10)):
        found = expected.copy()
        found[row, column] += 0.01
        check_same_log_probs(found, expected, 0.02)
        with pytest.raises(RuntimeError, match=r"by up to 0\.01, allowed 0\.001"):
            check_same_log_probs(found, expected)
