"""Pairs of models with random weights, in memory and on disk, which measurements of cost use.

The cost of a search or a build depends on the shapes of the weights, and not on their values.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from slr.models.checkpoint import open_checkpoint
from slr.models.layout import model_layout
from slr.models.loading import ModelPair, avoid_cudnn_attention, family_of
from slr.models.presets import find_pair

TOKENIZER_OF = find_pair("testbed-llama").instruct
"""Model whose tokenizer random pairs use. It ships with the package, so nothing is downloaded."""
SIDES = ("base", "instruct")
"""Names of the two models, and of their directories. The place of a name is the seed of its weights."""


def load_testbed_tokenizer() -> PreTrainedTokenizerBase:
    """Load the testbed's tokenizer, which has a chat template."""
    tokenizer = open_checkpoint(TOKENIZER_OF).tokenizer
    assert tokenizer is not None
    return tokenizer


def random_pair(
    name: str, config: PreTrainedConfig, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> ModelPair:
    """Make two models of one configuration on a device, with the testbed's tokenizer.

    Args:
        name: name of the pair in records.
        config: configuration of both models.
        device: device on which the weights are made, so that a large model never passes through the CPU's memory.
        dtype: dtype of the weights.
    """
    models = [random_model(config, device, dtype, seed) for seed, _ in enumerate(SIDES)]
    return ModelPair(
        name=name,
        family=family_of(config),
        base=TOKENIZER_OF,
        instruct=TOKENIZER_OF,
        base_model=models[0],
        instruct_model=models[1],
        tokenizer=load_testbed_tokenizer(),
    )


def random_model(config: PreTrainedConfig, device: str, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    """Make a model of a configuration on a device.

    Args:
        config: the configuration.
        device: device on which the weights are made.
        dtype: dtype of the weights.
        seed: seed of the weights.
    """
    # The model runs with the same attention as loaded ones, so that its cost is the same.
    avoid_cudnn_attention()
    attention = model_layout(config, config.model_type).attention
    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    return model.eval().requires_grad_(False)


def write_random_pair(
    directory: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, shard_bytes: int
) -> list[Path]:
    """Write two bfloat16 checkpoints of one configuration, unless they are there.

    Memory never holds more than one shard.

    Args:
        directory: parent of the directories ``base`` and ``instruct``.
        config: configuration of both models.
        tokenizer: tokenizer that is saved with both.
        shard_bytes: largest size of a weight file in bytes.

    Returns:
        The directories of the base model and the instruct model.
    """
    written = [directory / side for side in SIDES]
    for seed, checkpoint in enumerate(written):
        # The tokenizer is written last, so a checkpoint that has it is complete.
        if not (checkpoint / "tokenizer.json").exists():
            _write_checkpoint(checkpoint, config, seed, shard_bytes)
            tokenizer.save_pretrained(checkpoint)
    return written


def _write_checkpoint(directory: Path, config: PreTrainedConfig, seed: int, shard_bytes: int) -> None:
    # On the meta device a model has names and shapes, but no weights that take memory.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    tensors = model.state_dict()
    if config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    config.architectures = [type(model).__name__]
    config.dtype = torch.bfloat16
    config.save_pretrained(directory)
    plan = split_torch_state_dict_into_shards(
        tensors, filename_pattern="model{suffix}.safetensors", max_shard_size=shard_bytes
    )
    generator = torch.Generator().manual_seed(seed)
    for shard, names in plan.filename_to_tensors.items():
        weights = {
            name: torch.empty_like(tensors[name], device="cpu").normal_(std=0.02, generator=generator)
            for name in names
        }
        save_file(weights, directory / shard, {"format": "pt"})
    index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def byte_level_tokenizer(vocab_size: int) -> PreTrainedTokenizerBase:
    """Make a byte-level BPE tokenizer of ``vocab_size`` tokens: the bytes, and merges of two earlier tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    seen = set(tokens)
    for second in list(tokens):
        for first in list(tokens):
            if len(tokens) < vocab_size and first + second not in seen:
                merges.append((first, second))
                tokens.append(first + second)
                seen.add(first + second)
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)
