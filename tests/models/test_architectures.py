"""Architectures beyond those of the presets: searched and built, or refused in one true sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedModel

from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.cli import main
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.search import search
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.layout import auto_class
from slr.models.loading import load_model, load_pair
from slr.models.presets import resolve_pair
from slr.models.reference import UnusablePairError
from tests.tiny_models import CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer

PROMPTS = load_prompts("selection")[:2]
INTERVAL = LayerInterval(1, 2)
TEXT: dict[str, Any] = {
    "num_hidden_layers": 3,
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
EXPERTS = {
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "full_attention"],
}
STATE_SPACE = {"state_size": 8, "time_step_rank": 4}
GEMMA4 = {
    "head_dim": 8,
    "global_head_dim": 16,  # of layers with full attention
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
ZAMBA = {
    "mamba_d_state": 8,
    "mamba_headdim": 16,
    "n_mamba_heads": 4,
    "layers_block_type": ["hybrid", "mamba", "hybrid"],
    "hybrid_layer_ids": [0, 2],
}

SEARCHED: dict[str, dict[str, Any]] = {
    "deepseek_v2": {**LATENT, **EXPERTS},
    "deepseek_v3": {**LATENT, **EXPERTS},
    "minicpm3": LATENT,
    "glm4_moe_lite": {**LATENT, **EXPERTS},
    "gemma4_text": {**GEMMA4, "hidden_size_per_layer_input": 0},
    "gpt_oss": {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
}
"""With multi-head latent attention, attention sinks, or heads of several sizes."""

NOT_SEARCHED: dict[str, dict[str, Any]] = {
    "qwen3_next": {**EXPERTS, **LINEAR, "head_dim": 8, "shared_expert_intermediate_size": 24},
    "qwen3_5_text": {**LINEAR, "head_dim": 8},
    "jamba": {
        **EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
    },
    "mamba": STATE_SPACE,
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "gemma4_text": {**GEMMA4, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB_SIZE},
    "gpt2": {},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "t5": (
        {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 4},
        "has an encoder besides its decoder (model type t5)",
    ),
    "bart": ({"d_model": 32, "decoder_ffn_dim": 48}, "has an encoder besides its decoder (model type bart)"),
    "bert": ({"is_decoder": True}, "expected exactly one list of 3 decoder layers in BertModel"),
    "zamba2": (ZAMBA, "decoder layers share weights (model.layers.0.shared_transformer."),
}  # fmt: skip


def write_pair(directory: Path, model_type: str, fields: dict[str, Any]) -> tuple[Path, Path]:
    """``directory/base`` and ``directory/instruct``, random and different."""
    config = CONFIG_MAPPING[model_type](**{**TEXT, **fields})
    paths = directory / "base", directory / "instruct"
    for seed, path in enumerate(paths):
        automatic: Any = AutoModel if config.is_encoder_decoder else auto_class(config)
        model = automatic.from_config(config, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(path)
        make_tokenizer(CHAT_TEMPLATE if seed else None).save_pretrained(path)
    return paths


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The last line of a command that ends with status 2."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(torch.arange(5, 35)[None]).logits


@pytest.mark.parametrize("model_type", SEARCHED)
def test_searched_and_built(model_type: str, tmp_path: Path) -> None:
    base, instruct = write_pair(tmp_path, model_type, SEARCHED[model_type])
    pair = load_pair(base, instruct)
    hybrid = restore(pair, INTERVAL)
    expected = score_model(hybrid, encode_prompts(PROMPTS, pair.tokenizer))
    for searched in (pair, load_pair(base, instruct, stream=True)):
        found = {scored.interval: scored.scores for scored in search(searched, PROMPTS).intervals}
        assert found[INTERVAL].validity == pytest.approx(expected.validity, abs=1e-5)
    built = load_model(
        build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(verify=True)).output_dir
    ).model
    torch.testing.assert_close(logits(built), logits(hybrid))


@pytest.mark.parametrize("model_type", NOT_SEARCHED)
def test_not_searched_but_built_and_scored(
    model_type: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the refusal says."""
    base, instruct = write_pair(tmp_path, model_type, NOT_SEARCHED[model_type])
    line = refusal(capsys, "search", base, instruct, "--output-dir", tmp_path / "found")
    assert f"{base} cannot be searched, because the decoder layers of" in line
    assert not (tmp_path / "found").exists()
    pair = load_pair(base, instruct)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(UnusablePairError, match="cannot be computed one by one"):
            search(load_pair(base, instruct, dtype=dtype), PROMPTS)
    built = load_model(
        build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(verify=True)).output_dir
    ).model
    torch.testing.assert_close(logits(built), logits(restore(pair, INTERVAL)))
    score_model(built, encode_prompts(PROMPTS, pair.tokenizer)).check_finite("the hybrid")


@pytest.mark.parametrize("model_type", REFUSED)
def test_refused_by_build_and_search(
    model_type: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, words = REFUSED[model_type]
    base, instruct = write_pair(tmp_path, model_type, fields)
    for arguments in (("search",), ("build", "--layers", "1:2", "--output", tmp_path / "out")):
        assert words in refusal(capsys, *arguments, base, instruct)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "instruct"]


def test_sizes_that_contradict_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this architecture ``head_dim`` is what is rotated, and not the size of a head."""
    base, instruct = write_pair(tmp_path, "deepseek_v3", {**LATENT, **EXPERTS, "head_dim": 8})
    words = "tokens (RuntimeError: The size of tensor a (2) must match the size of tensor b (4)"
    assert words in refusal(capsys, "score", instruct)
    assert words in refusal(capsys, "search", base, instruct, "--output-dir", tmp_path / "found")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "instruct"]
