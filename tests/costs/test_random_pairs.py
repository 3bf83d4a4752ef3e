"""Random pairs have the shape that is asked for, two sets of weights, and the same ones each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig

from slr.costs.random_pairs import (
    byte_level_tokenizer,
    load_testbed_tokenizer,
    random_pair,
    write_random_pair,
)
from slr.crc.prompts import load_prompts
from slr.crc.search import search
from slr.models.loading import load_pair

CONFIG = LlamaConfig(
    num_hidden_layers=2,
    hidden_size=32,
    intermediate_size=64,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=600,
)


def test_a_pair_in_memory_differs_between_models_and_not_between_calls() -> None:
    first, second = (random_pair("x", CONFIG, dtype=torch.bfloat16) for _ in range(2))
    assert (first.name, first.family, first.num_layers) == ("x", "llama", 2)
    weights = [
        model.get_parameter("model.layers.0.mlp.up_proj.weight")
        for model in (first.base_model, first.instruct_model, second.base_model)
    ]
    assert weights[0].dtype == torch.bfloat16
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_a_written_pair_loads_and_can_be_searched(tmp_path: Path) -> None:
    tokenizer = load_testbed_tokenizer()
    fields: dict[str, Any] = {**CONFIG.to_dict(), "vocab_size": len(tokenizer)}
    config = LlamaConfig(**fields)
    base, instruct = write_random_pair(tmp_path, config, tokenizer, shard_bytes=20_000)
    assert len(list(base.glob("*.safetensors"))) > 1
    pair = load_pair(base, instruct, dtype=torch.float32)
    assert len(search(pair, load_prompts("selection")[:2]).intervals) == 3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_random_pair(tmp_path, config, tokenizer, shard_bytes=20_000)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_tied_head_is_stored_once(tmp_path: Path) -> None:
    fields: dict[str, Any] = {**CONFIG.to_dict(), "tie_word_embeddings": True}
    config = LlamaConfig(**fields)
    base, _ = write_random_pair(tmp_path, config, byte_level_tokenizer(600), shard_bytes=10**9)
    [shard] = base.glob("*.safetensors")
    assert "lm_head.weight" not in load_file(shard)
    model = AutoModelForCausalLM.from_pretrained(base)
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def test_the_tokenizer_has_the_number_of_tokens_and_keeps_texts() -> None:
    tokenizer = byte_level_tokenizer(1000)
    assert len(tokenizer) == 1000
    assert tokenizer.decode(tokenizer.encode("Grüße, 東京!")) == "Grüße, 東京!"
