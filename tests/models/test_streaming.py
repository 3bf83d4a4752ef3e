"""Pairs whose layers are on disk against the same pairs in memory."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.search import _iter_log_probs, iter_search
from slr.hybrid import interpolate, restore
from slr.intervals import WHOLE, LayerInterval, Stack
from slr.models import streaming as streamed_layers
from slr.models.loading import ModelPair, load_pair
from slr.models.streaming import LayerReader, is_streamed, weights_in_memory
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES

PROMPTS = load_prompts("selection")[::8]
BUDGETS = {"one pass": 2**30, "several passes": 1_200_000, "several groups of prompts": 500_000}


def log_probs(pair: ModelPair, budget: int, stacks: Sequence[Stack] = (WHOLE,)) -> np.ndarray:
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    starts = range(pair.num_layers)
    return np.concatenate([rows for _, rows in _iter_log_probs(pair, encoded, stacks, starts, budget)])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_search_finds_the_same(checkpoint_pairs: CheckpointPairs, architecture: str, tied: bool) -> None:
    paths = checkpoint_pairs(architecture, tied=tied)
    streamed = load_pair(*paths, stream=True)
    assert is_streamed(streamed.instruct_model)
    expected = log_probs(load_pair(*paths), BUDGETS["one pass"])
    np.testing.assert_allclose(log_probs(streamed, BUDGETS["one pass"]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_whatever_the_memory_budget(checkpoint_pairs: CheckpointPairs, budget: int) -> None:
    paths = checkpoint_pairs("gemma3")
    stacks = (Stack(0.4), WHOLE, Stack(1.0, ("mlp",)))
    found = log_probs(load_pair(*paths, stream=True), budget, stacks)
    expected = log_probs(load_pair(*paths), BUDGETS["one pass"], stacks)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "stacks", [(WHOLE,), (Stack(0.5), WHOLE, Stack(1.0, ("norms",)))], ids=["one", "three"]
)
def test_each_layer_is_read_once_in_a_pass(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch, stacks: Sequence[Stack]
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"), stream=True)
    read: list[tuple[int, int]] = []
    read_layer = LayerReader._read_layer
    monkeypatch.setattr(
        LayerReader,
        "_read_layer",
        lambda self, index: read.append((id(self), index)) or read_layer(self, index),
    )
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    running = _iter_log_probs(pair, encoded, stacks, range(pair.num_layers), BUDGETS["one pass"])
    assert [start for start, _ in running] == list(range(pair.num_layers))
    assert len(read) == len(set(read)) == 2 * pair.num_layers


def test_a_search_goes_on_in_the_middle(checkpoint_pairs: CheckpointPairs) -> None:
    paths = checkpoint_pairs("qwen2")
    encoded = encode_prompts(PROMPTS, load_pair(*paths).tokenizer)
    whole = dict(iter_search(load_pair(*paths), encoded))
    some = dict(iter_search(load_pair(*paths, stream=True), encoded, starts=[4, 2]))
    assert some.keys() == {2, 4}
    for start, scored in some.items():
        for found, expected in zip(scored, whole[start], strict=True):
            assert found.interval == expected.interval
            assert found.scores.validity == pytest.approx(expected.scores.validity, abs=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_models_hybrids_and_soups_score_the_same(
    checkpoint_pairs: CheckpointPairs, architecture: str
) -> None:
    paths = checkpoint_pairs(architecture)
    whole, streamed = load_pair(*paths), load_pair(*paths, stream=True)
    encoded = encode_prompts(PROMPTS, whole.tokenizer)
    for make in (
        lambda pair: pair.base_model,
        lambda pair: pair.instruct_model,
        lambda pair: restore(pair, LayerInterval(1, 3)),
        lambda pair: restore(pair, LayerInterval(1, 3), alpha=0.3),
        lambda pair: interpolate(pair, 0.6),
    ):
        found, expected = (score_model(make(pair), encoded) for pair in (streamed, whole))
        assert found.validity == pytest.approx(expected.validity, abs=1e-5)


def test_bfloat16_weights_are_the_same_bits(checkpoint_pairs: CheckpointPairs) -> None:
    paths = checkpoint_pairs("gemma3", dtype=torch.bfloat16)
    whole, streamed = load_pair(*paths), load_pair(*paths, stream=True)
    tokens = torch.arange(5, 30)[None]
    with torch.inference_mode():
        assert torch.equal(whole.instruct_model(tokens).logits, streamed.instruct_model(tokens).logits)


def test_a_layer_is_given_up_after_its_call(checkpoint_pairs: CheckpointPairs) -> None:
    model = load_pair(*checkpoint_pairs("llama"), stream=True).instruct_model
    layer = model.get_submodule("model.layers.1")
    with weights_in_memory(layer) as ready:
        assert all(parameter.device.type == "cpu" for parameter in ready.parameters())
    assert all(parameter.is_meta for parameter in layer.parameters())


def test_a_pair_that_does_not_fit_is_streamed_and_says_so(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = checkpoint_pairs("llama")
    assert not is_streamed(load_pair(*paths, stream=None).base_model)
    monkeypatch.setattr(streamed_layers, "SHARE_OF_FREE_MEMORY", 0.0)
    pair = load_pair(*paths, stream=None)
    assert is_streamed(pair.base_model)
    assert any("streamed from disk" in note for note in pair.notes)


def test_other_names_of_tensors_are_refused(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    for path, side in zip(checkpoint_pairs("llama"), ("base", "instruct"), strict=True):
        shutil.copytree(path, tmp_path / side)
        weights = tmp_path / side / "model.safetensors"
        renamed = {f"other.{name}": tensor for name, tensor in load_file(weights).items()}
        save_file(renamed, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="no tensor has a name that transformers knows"):
        load_pair(tmp_path / "base", tmp_path / "instruct", stream=True)


def test_a_pair_larger_than_the_memory_limit(tmp_path: Path) -> None:
    """In a process that may not have as much memory as the pair takes; loaded whole, the same pair fails there."""
    script = Path(__file__).parents[2] / "experiments" / "streamed_search_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), "--smoke", "--work-dir", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "streamed: scored" in done.stdout
    assert "loaded whole: out of memory" in done.stdout
