"""Every architecture of the table in docs/checkpoints.md: searched, restored, built and sampled, or truly refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.chat.template import render_chats
from slr.cli import main
from slr.crc.layer_evaluations import count_layer_evaluations
from slr.crc.layer_sets import score_layer_sets
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.search import count_tokens_computed, search
from slr.crc.tree_forward import score_by_tree
from slr.hybrid import restore, restore_layers
from slr.intervals import LayerInterval
from slr.mechanism.logit_lens import lens_entropies, next_token_entropies
from slr.models.layout import auto_class
from slr.models.loading import load_pair
from slr.models.presets import resolve_pair
from slr.models.reference import UnusablePairError
from slr.models.transformers_internals import attention_implementation
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import choose_tokens, sample
from tests.crc.test_search import loop_log_probs, search_log_probs
from tests.odd_formats import CONFIG_CLASSES, make_config
from tests.sampling.test_generation import IDS, ids
from tests.tiny_models import CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
PROMPTS = sorted(load_prompts("selection"), key=lambda prompt: len(prompt.text))[:3]
REQUESTS = ("Say a word.", "Write a line.")
SAMPLING = SamplingConfig(min_p=0.02, max_new_tokens=6)
INTERVAL = LayerInterval(1, 2)
YES_NO = {True: "yes", False: "no"}
TEXT: dict[str, Any] = {
    "num_hidden_layers": 3,
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = {"sliding_window": 16}
"""In tokens: shorter than any prompt, so that a wrong mask shows."""
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
ROUTED = {
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LINEAR = {
    "head_dim": 8,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "full_attention"],
}
GEMMA4 = {
    "head_dim": 8,
    "global_head_dim": 16,  # of layers with full attention
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    **SLIDING,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.1, 1.2],
    "long_factor": [1.0, 2.0, 4.0],
}
MIXED = {**SLIDING, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}


@dataclass(frozen=True)
class Architecture:
    """A row of the table.

    Attributes:
        model_type: transformers' name.
        fields: fields of the configuration besides ``TEXT``; None for one of ``tests.odd_formats``.
        is_searched: whether the search computes it; otherwise it refuses.
        is_sampled: whether it can be sampled; otherwise that is refused.
    """

    model_type: str
    fields: dict[str, Any] | None = field(default_factory=dict)
    is_searched: bool = True
    is_sampled: bool = True

    def config(self) -> PreTrainedConfig:
        if self.fields is None:
            return make_config(self.model_type)
        return CONFIG_CLASSES[self.model_type](**{**TEXT, **self.fields})


TABLE: dict[str, Architecture] = {
    "Llama 2, 3": Architecture("llama"),
    "Llama 4 (text)": Architecture(
        "llama4_text",
        {
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "num_local_experts": 4,
            "interleave_moe_layer_step": 2,
            "no_rope_layers": [1, 0, 1],
            "attention_chunk_size": 16,
        },
    ),
    "Mistral": Architecture("mistral", SLIDING),
    "Mistral 3 (with its image part)": Architecture("mistral3", None),
    "Mixtral": Architecture("mixtral", None),
    "Qwen 2, 2.5": Architecture("qwen2", {"use_sliding_window": True, **MIXED}),
    "Qwen 3": Architecture("qwen3", {"head_dim": 8}),
    "Qwen 3 MoE": Architecture("qwen3_moe", None),
    "Qwen 3.5 (text)": Architecture("qwen3_5_text", LINEAR),
    "Qwen 3 Next": Architecture("qwen3_next", {**ROUTED, **LINEAR, "shared_expert_intermediate_size": 24}),
    "Gemma 2": Architecture("gemma2", {"head_dim": 8, "query_pre_attn_scalar": 8, **MIXED}),
    "Gemma 3 (text)": Architecture("gemma3_text", {"head_dim": 8, "query_pre_attn_scalar": 8, **MIXED}),
    "Gemma 3 (with its image part)": Architecture("gemma3", None),
    "Gemma 4 (text)": Architecture("gemma4_text", {**GEMMA4, "hidden_size_per_layer_input": 0}),
    "Gemma 4 (text, with per-layer embeddings)": Architecture(
        "gemma4_text",
        {**GEMMA4, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB_SIZE},
        is_searched=False,
    ),
    "OLMo 2": Architecture("olmo2"),
    "OLMoE": Architecture("olmoe", None),
    "Phi 3, 4": Architecture("phi3", {**SLIDING, "original_max_position_embeddings": 512}),
    "Phi 4 mini": Architecture(
        "phi3",
        {
            "max_position_embeddings": 1024,
            "original_max_position_embeddings": 512,
            "rope_parameters": LONG_ROPE,
        },
    ),
    "Granite 3": Architecture(
        "granite",
        {
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.125,
            "residual_multiplier": 0.5,
            "logits_scaling": 2.0,
        },
    ),
    "SmolLM 3": Architecture("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "Cohere 2": Architecture("cohere2", MIXED),
    "DeepSeek 2": Architecture("deepseek_v2", {**LATENT, **ROUTED}),
    "DeepSeek 3": Architecture("deepseek_v3", {**LATENT, **ROUTED}),
    "MiniCPM 3": Architecture("minicpm3", LATENT),
    "GLM 4 MoE Lite": Architecture("glm4_moe_lite", {**LATENT, **ROUTED}),
    "gpt-oss": Architecture(
        "gpt_oss", {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, **SLIDING}
    ),
    "Falcon": Architecture("falcon", is_searched=False),
    "GPT-2": Architecture("gpt2", is_searched=False),
    "LFM 2": Architecture("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}),
    "Jamba": Architecture(
        "jamba",
        {**ROUTED, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4},
    ),
    "Mamba": Architecture("mamba", {"state_size": 8, "time_step_rank": 4}, is_sampled=False),
}
SEARCHED = [name for name, architecture in TABLE.items() if architecture.is_searched]
NOT_SEARCHED = [name for name, architecture in TABLE.items() if not architecture.is_searched]

REFUSED: dict[str, tuple[Architecture, str]] = {
    "T5": (
        Architecture("t5", {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 4}),
        "has an encoder besides its decoder (model type t5): expected a decoder-only language model",
    ),
    "BART": (
        Architecture("bart", {"d_model": 32, "decoder_ffn_dim": 48}),
        "has an encoder besides its decoder (model type bart): expected a decoder-only language model",
    ),
    "BERT": (
        Architecture("bert", {"is_decoder": True}),
        "expected exactly one list of 3 decoder layers in BertModel",
    ),
    "Zamba 2": (
        Architecture(
            "zamba2",
            {
                "num_key_value_heads": 4,
                "mamba_d_state": 8,
                "mamba_headdim": 16,
                "n_mamba_heads": 4,
                "layers_block_type": ["hybrid", "mamba", "hybrid"],
                "hybrid_layer_ids": [0, 2],
            },
        ),
        "decoder layers share weights (model.layers.0.shared_transformer.",
    ),
}
QUANTIZED: dict[str, dict[str, Any]] = {
    "bitsandbytes": {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
    },
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "gptq": {"quant_method": "gptq", "bits": 4},
    "awq": {"quant_method": "awq", "bits": 4},
    "mxfp4": {"quant_method": "mxfp4"},
    "compressed-tensors": {"quant_method": "compressed-tensors"},
}

Pairs = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """The checkpoints of a row of the table, written once."""

    @cache
    def pair(name: str) -> tuple[Path, Path]:
        return write_pair(tmp_path_factory.mktemp("pair"), TABLE[name].config())

    return pair


def write_pair(directory: Path, config: PreTrainedConfig) -> tuple[Path, Path]:
    """``directory/base`` and ``directory/instruct``, random and different."""
    paths = directory / "base", directory / "instruct"
    for seed, path in enumerate(paths):
        automatic: Any = AutoModel if config.is_encoder_decoder else auto_class(config)
        torch.manual_seed(seed)
        model = automatic.from_config(config, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(path)
        make_tokenizer(CHAT_TEMPLATE if seed else None).save_pretrained(path)
    return paths


def loaded_by_transformers(directory: Path, attention: str | None) -> PreTrainedModel:
    config = CONFIG_CLASSES[json.loads((directory / "config.json").read_text())["model_type"]]
    return auto_class(config.from_pretrained(directory)).from_pretrained(
        directory, attn_implementation=attention
    )


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The last line of a command that ends with status 2."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def assert_all_refuse(
    capsys: pytest.CaptureFixture[str], base: Path, instruct: Path, words: str, directory: Path
) -> None:
    """Search, restoration in memory (which needs a loaded pair) and build refuse in one sentence."""
    for arguments in (("search",), ("build", "--layers", "1:2", "--output", directory / "out")):
        assert words in refusal(capsys, *arguments, base, instruct)
    with pytest.raises(ValueError, match=re.escape(words)):
        load_pair(base, instruct)
    assert not (directory / "out").exists()


def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(torch.arange(5, 35)[None]).logits


@pytest.mark.parametrize("name", SEARCHED)
def test_the_search_equals_the_plain_loop(pairs: Pairs, name: str) -> None:
    pair = load_pair(*pairs(name))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    expected = loop_log_probs(pair, encoded)
    for searched in (pair, load_pair(*pairs(name), stream=True)):
        result = search(searched, PROMPTS)
        assert len(result.intervals) == len(expected) == 6
        plain = score_model(pair.instruct_model, encoded)
        assert result.instruct.validity == pytest.approx(plain.validity, abs=1e-6)
        # MiniCPM's log-probabilities reach -45, where float32 itself is no finer than 4e-6.
        np.testing.assert_allclose(search_log_probs(searched, encoded), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", TABLE)
def test_the_built_checkpoint_is_the_hybrid_in_memory(pairs: Pairs, tmp_path: Path, name: str) -> None:
    report = build(resolve_pair(*pairs(name)), INTERVAL, tmp_path / "out", BuildOptions(verify=True))
    pair = load_pair(*pairs(name))
    hybrid = restore(pair, INTERVAL)
    built = loaded_by_transformers(report.output_dir, attention_implementation(hybrid.config))
    torch.testing.assert_close(logits(built), logits(hybrid))
    for other in (pair.base_model, pair.instruct_model):
        assert not torch.allclose(logits(hybrid), logits(other), atol=1e-3)


@pytest.mark.parametrize("name", TABLE)
def test_samples_equal_a_plain_loop_without_a_cache(pairs: Pairs, name: str) -> None:
    pair = load_pair(*pairs(name))
    hybrid = restore(pair, INTERVAL)
    prompts = render_chats(pair.tokenizer, REQUESTS)
    assert len({len(prompt) for prompt in prompts}) == len(prompts)  # so the batch is padded
    if not TABLE[name].is_sampled:
        with pytest.raises(ValueError, match=f"{type(hybrid).__name__} cannot be sampled"):
            sample(hybrid, IDS, prompts, 2, SAMPLING, seeds=[3, 4], end_tokens=[VOCAB_SIZE])
        return
    drawn = sample(hybrid, IDS, prompts, 2, SAMPLING, seeds=[3, 4], end_tokens=[VOCAB_SIZE])
    for prompt, seed, answers in zip(prompts, (3, 4), drawn, strict=True):
        draws = torch.rand(2, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for answer, draws_T in zip(answers, draws, strict=True):
            tokens = list(prompt)
            for draw in draws_T:
                last = hybrid(torch.tensor([tokens]), use_cache=False).logits[:, -1]
                tokens.append(int(choose_tokens(last, draw[None], SAMPLING)))
            assert ids(answer) == tokens[len(prompt) :]


@pytest.mark.parametrize("name", NOT_SEARCHED)
def test_not_searched_but_scored_as_the_refusal_says(
    pairs: Pairs, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, instruct = pairs(name)
    line = refusal(capsys, "search", base, instruct, "--output-dir", tmp_path / "found")
    assert f"{base} cannot be searched, because the decoder layers of" in line
    assert not (tmp_path / "found").exists()
    pair = load_pair(base, instruct)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(UnusablePairError, match="cannot be computed one by one"):
            search(load_pair(base, instruct, dtype=dtype), PROMPTS)
    hybrid = restore(pair, INTERVAL)
    score_model(hybrid, encode_prompts(PROMPTS, pair.tokenizer)).check_finite("the hybrid")


@pytest.mark.parametrize("name", ["Qwen 3.5 (text)", "LFM 2"])
def test_whatever_uses_token_trees_computes_prompts_one_by_one_where_layers_do_not_attend(
    pairs: Pairs, name: str
) -> None:
    pair = load_pair(*pairs(name))
    encoded = encode_prompts(PROMPTS, pair.tokenizer)
    some_layers = restore_layers(pair, (0, 2))
    [by_tree] = score_by_tree([some_layers], encoded)
    [of_set] = score_layer_sets(pair, encoded, [(0, 2)])
    expected = score_model(some_layers, encoded)
    for found in (by_tree, of_set):
        assert found.validity == pytest.approx(expected.validity, abs=1e-6)
    last = torch.cat([some_layers(torch.tensor([tokens])).logits[:, -1] for tokens in encoded.token_ids])
    np.testing.assert_allclose(
        lens_entropies(some_layers, encoded)[-1], next_token_entropies(last).numpy(), rtol=0, atol=1e-5
    )
    assert len(search(load_pair(*pairs(name), dtype=torch.bfloat16), PROMPTS).intervals) == 6


def test_the_estimate_counts_prompts_one_by_one_too(
    pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, instruct = pairs("Qwen 3.5 (text)")
    assert (
        main(["search", str(base), str(instruct), "--dry-run", "--json", "--output-dir", str(tmp_path)]) == 0
    )
    plan = json.loads(capsys.readouterr().out)
    pair = load_pair(base, instruct)
    encoded = encode_prompts(load_prompts("selection"), pair.tokenizer)
    assert plan["tree_tokens"] == sum(map(len, encoded.token_ids))
    _, tokens_computed = count_tokens_computed(pair, encoded, 2**30)
    assert tokens_computed == plan["tree_tokens"] * count_layer_evaluations(pair.num_layers)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_alike(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    architecture, words = REFUSED[name]
    base, instruct = write_pair(tmp_path, architecture.config())
    assert_all_refuse(capsys, base, instruct, words, tmp_path)


@pytest.mark.parametrize("method", QUANTIZED)
def test_quantized_checkpoints_are_refused_alike(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the configuration alone, so nothing else is there."""
    fields = {"model_type": "llama", "quantization_config": QUANTIZED[method]}
    for side in ("base", "instruct"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "config.json").write_text(json.dumps(fields))
    words = (
        f"is quantized ({method}): layers can be restored between full-precision checkpoints, so take the model that "
        "it was made from, or a dequantized copy"
    )
    assert_all_refuse(capsys, tmp_path / "base", tmp_path / "instruct", words, tmp_path)


def test_sizes_that_contradict_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this architecture ``head_dim`` is what is rotated, and not the size of a head."""
    config = Architecture("deepseek_v3", {**LATENT, **ROUTED, "head_dim": 8}).config()
    base, instruct = write_pair(tmp_path, config)
    words = "tokens (RuntimeError: The size of tensor a (2) must match the size of tensor b (4)"
    assert words in refusal(capsys, "score", instruct)
    assert words in refusal(capsys, "search", base, instruct, "--output-dir", tmp_path / "found")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "instruct"]


def test_the_page_says_what_these_tests_check() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Architectures\n")[2].partition("\n## ")[0]
    _, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line[:1] == "|"
    ]
    shown = {name: tuple(cells) for name, *cells, _remark in rows}
    expected = {
        name: (YES_NO[architecture.is_searched], "yes", "yes", YES_NO[architecture.is_sampled])
        for name, architecture in TABLE.items()
    } | dict.fromkeys(REFUSED, ("no",) * 4)
    assert shown == expected
