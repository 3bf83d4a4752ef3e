"""Tiny random pairs whose files name or cut the weights differently than transformers' models do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from slr.models.layout import auto_class
from tests.tiny_models import CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer

NUM_LAYERS = 3
EXPERTS = ("mixtral", "qwen3_moe", "olmoe")
MULTIMODAL = ("gemma3", "mistral3")

CONFIG_CLASSES: Mapping[str, Any] = CONFIG_MAPPING

TEXT: dict[str, Any] = {
    "num_hidden_layers": NUM_LAYERS,
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": NUM_LAYERS,  # as many as the decoder has, so that one may be mistaken for the other
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}


def make_config(architecture: str) -> PreTrainedConfig:
    """The configuration of a tiny model."""
    if architecture == "gemma3":
        text = CONFIG_CLASSES["gemma3_text"](**TEXT, query_pre_attn_scalar=8, sliding_window=16)
        tokens = {"image_token_index": 330, "boi_token_index": 331, "eoi_token_index": 332}
        return CONFIG_CLASSES["gemma3"](
            text_config=text.to_dict(), vision_config=VISION, mm_tokens_per_image=4, **tokens
        )
    if architecture == "mistral3":
        text = CONFIG_CLASSES["mistral"](**TEXT)
        vision = {"model_type": "pixtral", "head_dim": 8, **VISION}
        return CONFIG_CLASSES["mistral3"](
            text_config=text.to_dict(), vision_config=vision, image_token_index=330
        )
    settings = {**TEXT, "num_experts_per_tok": 2, "tie_word_embeddings": False}
    settings["num_local_experts" if architecture == "mixtral" else "num_experts"] = 4
    if architecture == "qwen3_moe":
        settings["moe_intermediate_size"] = 24
    if architecture == "olmoe":
        del settings["head_dim"]
    return CONFIG_CLASSES[architecture](**settings)


def make_model(architecture: str, seed: int) -> PreTrainedModel:
    """A random model in evaluation mode."""
    config = make_config(architecture)
    model = auto_class(config).from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def make_pair(
    directory: Path, architecture: str, *, converted: tuple[bool, bool] = (True, True), shard: str = "1GB"
) -> tuple[Path, Path]:
    """Write ``directory/base`` and ``directory/instruct``; ``converted`` is whether to the format of the hub."""
    paths = directory / "base", directory / "instruct"
    for seed, (path, original) in enumerate(zip(paths, converted, strict=True)):
        make_model(architecture, seed).save_pretrained(
            path, save_original_format=original, max_shard_size=shard
        )
        make_tokenizer(CHAT_TEMPLATE if seed else None).save_pretrained(path)
    return paths
