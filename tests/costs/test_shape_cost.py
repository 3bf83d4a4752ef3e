"""The measurement of a real shape, on a small one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import Gemma2Config, LlamaConfig, PreTrainedConfig

from slr.costs import shape_cost
from slr.costs.shape_cost import SHAPES, measure_shape
from slr.runs import device

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL, num_hidden_layers=6, vocab_size=9000),
        Gemma2Config(**SMALL, head_dim=8, num_hidden_layers=6, vocab_size=9000),
    ],
    ids=["llama", "gemma"],
)
def test_a_shortened_search_is_counted_and_says_so(
    config: PreTrainedConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SHAPES, "llama-8b", config)
    monkeypatch.setitem(device.PEAK_MATRIX_SIZE, "cpu", 64)
    cost = measure_shape("llama-8b", "cpu", tmp_path / "profile.txt")
    record = cost.record
    assert (record.num_layers, record.num_intervals, record.num_prompts) == (3, 6, 2)
    # Each layer's projections and MLP for every token, and the head for every interval and prompt.
    heads = 4 * getattr(config, "head_dim", 8)
    layer = 32 * heads * 2 + 32 * heads + 3 * 32 * 64
    assert cost.flops == 2 * (layer * record.tokens_computed + 32 * shape_cost.CPU_VOCABULARY * 6 * 2)
    loop = cost.hybrid_seconds * 6
    assert f"{loop:.1f} s for 6, {loop / record.seconds:.1f} times the search" in str(cost)
    assert "SHORTENED for a CPU to 3 layers and 2 prompts" in str(cost)
    assert "aten::" in (tmp_path / "profile.txt").read_text()


@pytest.mark.parametrize(("name", "billions"), [("llama-8b", 8.03), ("qwen-7b", 7.62), ("gemma-9b", 9.24)])
def test_shapes_have_the_real_number_of_parameters(name: str, billions: float) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(SHAPES[name])
    assert model.num_parameters() / 1e9 == pytest.approx(billions, abs=0.01)
