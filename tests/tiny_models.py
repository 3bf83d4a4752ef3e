"""Tiny random checkpoint pairs of every architecture that layer restoration must work for.

They are real checkpoints: written by ``save_pretrained``, with a tokenizer, and a chat template on the
instruct side. All weights are random and differ between the two, so that every layer matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

ARCHITECTURES: tuple[str, ...] = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "olmo2")
SLIDING_WINDOW = 8
"""In tokens: shorter than any prompt in a chat template, so that a wrong mask shows."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|start|>", "<|end|>")
VOCAB_SIZE = 336
"""Rows of the embedding: a few more than the tokenizer has tokens, as in real models."""


def make_checkpoint_pair(
    directory: Path,
    architecture: str,
    *,
    num_layers: int = 5,
    tied: bool | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    base_shard_size: str = "1GB",
    instruct_shard_size: str = "1GB",
) -> tuple[Path, Path]:
    """Write ``directory/base`` and ``directory/instruct`` and return both paths.

    ``tied`` is whether the LM head shares the embedding's weights; None: as is usual for the architecture.
    """
    base, instruct = directory / "base", directory / "instruct"
    for path, side_seed, shard_size in (
        (base, 2 * seed, base_shard_size),
        (instruct, 2 * seed + 1, instruct_shard_size),
    ):
        model = make_model(architecture, num_layers=num_layers, tied=tied, dtype=dtype, seed=side_seed)
        model.save_pretrained(path, max_shard_size=shard_size)
        make_tokenizer(chat_template=CHAT_TEMPLATE if path == instruct else None).save_pretrained(path)
    return base, instruct


def make_model(
    architecture: str,
    *,
    num_layers: int = 5,
    tied: bool | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> PreTrainedModel:
    """A random model in evaluation mode."""
    settings = _settings(architecture, num_layers)
    if tied is not None:
        settings["tie_word_embeddings"] = tied
    config = CONFIG_MAPPING[_model_type(architecture)](**settings)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Matrices are drawn anew; norms and biases are moved, for norms start at 1 or at 0.
            parameter.copy_(0.2 * noise if parameter.ndim > 1 else parameter + 0.2 * noise)
    return model.eval()


def make_tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every ASCII character is one token, alone and after a space."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    characters = [character for character in alphabet if character.isascii() and character.isalnum()]
    merges = [("Ġ", character) for character in characters]
    tokens = [*SPECIAL_TOKENS, *alphabet, *("".join(merge) for merge in merges)]
    backend = Tokenizer(models.BPE({token: id_ for id_, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|pad|>",
        bos_token="<|bos|>",
        eos_token="<|eos|>",
        additional_special_tokens=["<|start|>", "<|end|>"],
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def _model_type(architecture: str) -> str:
    return "gemma3_text" if architecture == "gemma3" else architecture


def _settings(architecture: str, num_layers: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "num_hidden_layers": num_layers,
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": [2, 4],
    }
    mixed_layers = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(num_layers)]
    if architecture in ("gemma2", "gemma3"):
        settings |= {
            "sliding_window": SLIDING_WINDOW,
            "layer_types": mixed_layers,
            "query_pre_attn_scalar": 8,
        }
    if architecture in ("qwen2", "qwen3"):
        settings |= {
            "sliding_window": SLIDING_WINDOW,
            "layer_types": mixed_layers,
            "use_sliding_window": True,
        }
    if architecture == "mistral":
        settings |= {"sliding_window": SLIDING_WINDOW}
    if architecture == "llama":
        settings |= {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        }
    return settings


def spread_over_devices(model: PreTrainedModel) -> None:
    """Put accelerate's hooks around every part, as a device map over several devices does; all are the CPU here."""
    layers = range(model.config.get_text_config(decoder=True).num_hidden_layers)
    parts = ["embed_tokens", "rotary_emb", "norm", *(f"layers.{index}" for index in layers)]
    names = ["lm_head", *(f"model.{part}" for part in parts)]
    dispatch_model(model, dict.fromkeys(names, torch.device("cpu")), force_hooks=True)
