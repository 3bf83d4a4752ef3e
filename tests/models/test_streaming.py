"""Pairs whose layers are on disk against the same pairs in memory."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from slr.costs.random_pairs import byte_level_tokenizer, write_random_pair
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.search import _iter_log_probs, iter_search
from slr.hybrid import interpolate, restore
from slr.intervals import WHOLE, LayerInterval, Stack
from slr.models import streaming as streamed_layers
from slr.models.checkpoint import open_checkpoint
from slr.models.loading import ModelPair, load_pair
from slr.models.streaming import LayerReader, is_streamed, load_streamed, weights_in_memory
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
    read_stored = LayerReader._read_stored
    monkeypatch.setattr(
        LayerReader,
        "_read_stored",
        lambda self, layer: read.append((id(self), layer)) or read_stored(self, layer),
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


def test_layers_are_read_copied_and_computed_in_an_order_that_is_safe(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With streams and events that do nothing but keep a log, as a GPU's would be called."""
    log = record_streams(monkeypatch)
    model = load_pair(*checkpoint_pairs("llama"), stream=True).instruct_model
    log.clear()
    with torch.inference_mode():
        model(torch.arange(5, 30)[None])
    copying = next(stream for what, stream in log if what == "copies on")
    [computing] = {stream for what, stream in log if what == "waits on"}
    assert copying is not computing
    reads = [place for place, (what, _) in enumerate(log) if what == "read"]
    marks, waits, synchronizations, computed = (
        [place for place, entry in enumerate(log) if entry[0] == what]
        for what in ("recorded on", "waits on", "synchronized", "computed")
    )
    num_layers = model.config.num_hidden_layers
    assert [log[place][1] for place in reads] == [log[place][1] for place in computed] == [*range(num_layers)]
    copies = [place for place, (what, _) in enumerate(log) if what == "copied"]
    arrivals = [place for place in marks if log[place][1] is copying]
    asked = [place for place in marks if log[place][1] is computing]
    for layer in range(num_layers):
        # Reading waits for nothing, and copying waits until the layer before the last is computed.
        assert reads[layer] < synchronizations[layer] < copies[layer] < arrivals[layer] < waits[layer]
        assert waits[layer] < computed[layer]
        assert asked[layer] < reads[layer]
        if layer >= 2:
            assert computed[layer - 2] < asked[layer] < computed[layer - 1]


def record_streams(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Have a CPU's streams and events, reading, copying and computing write a log of what happens and where."""
    log: list[tuple[str, Any]] = []

    class Stream:
        def __init__(self, _device: object = None) -> None: ...

        def wait_event(self, event: Event) -> None:
            assert event.recorded
            log.append(("waits on", self))

    class Event:
        recorded = False

        def record(self, stream: Stream) -> None:
            self.recorded = True
            log.append(("recorded on", stream))

        def synchronize(self) -> None:
            assert self.recorded
            log.append(("synchronized", self))

    computing = Stream()
    monkeypatch.setattr(torch.cpu, "Stream", Stream)
    monkeypatch.setattr(torch.cpu, "Event", Event)
    monkeypatch.setattr(torch.cpu, "current_stream", lambda _device: computing)
    monkeypatch.setattr(
        torch.cpu, "stream", lambda stream: log.append(("copies on", stream)) or nullcontext()
    )

    def logged(owner: type, method: str, what: str, detail: Callable[..., object]) -> None:
        original = getattr(owner, method)

        def wrapper(self: object, *arguments: Any, **named: Any) -> object:
            result = original(self, *arguments, **named)
            log.append((what, detail(self, *arguments)))
            return result

        monkeypatch.setattr(owner, method, wrapper)

    logged(LayerReader, "_read_stored", "read", lambda _reader, layer: layer)
    logged(LayerReader, "_on_device", "copied", lambda _reader, _stored: None)
    logged(LlamaDecoderLayer, "forward", "computed", lambda layer, *_: layer.self_attn.layer_idx)
    return log


def test_a_file_cut_short_in_the_meantime_is_named(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    for path, side in zip(checkpoint_pairs("llama"), ("base", "instruct"), strict=True):
        shutil.copytree(path, tmp_path / side)
    model = load_pair(tmp_path / "base", tmp_path / "instruct", stream=True).instruct_model
    os.truncate(tmp_path / "instruct" / "model.safetensors", 10_000)
    with pytest.raises(OSError, match=r"model.safetensors ends inside the tensor model.layers.0"):
        model(torch.arange(5, 30)[None])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_on_a_gpu_the_search_finds_the_same(checkpoint_pairs: CheckpointPairs, architecture: str) -> None:
    paths = checkpoint_pairs(architecture)
    expected = log_probs(load_pair(*paths), BUDGETS["one pass"])
    for budget in (BUDGETS["one pass"], BUDGETS["several passes"]):
        found = log_probs(load_pair(*paths, device="cuda", stream=True), budget, (WHOLE,))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_there_are_two_layers_of_a_model_at_most(tmp_path: Path) -> None:
    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=8, num_attention_heads=8, vocab_size=512
    )
    paths = write_random_pair(tmp_path, config, byte_level_tokenizer(512), shard_bytes=10**9)
    model = load_streamed(open_checkpoint(paths[0]), torch.bfloat16, "cuda")
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        model(torch.arange(5, 30, device="cuda")[None])
    layer_bytes = 2 * (4 * 1024 * 1024 + 3 * 1024 * 4096)
    assert torch.cuda.max_memory_allocated() - before < 2.5 * layer_bytes


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


@pytest.mark.long
def test_a_pair_larger_than_the_memory_limit(tmp_path: Path) -> None:
    """In a process that may not have as much memory as the pair takes; loaded whole, the same pair fails there."""
    script = Path(__file__).parents[2] / "experiments" / "streamed_search_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), "--smoke", "--work-dir", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "streamed: scored" in done.stdout
    assert "loaded whole: out of memory" in done.stdout
