"""What a training leaves: the weights as they ship, and training.json with everything that was measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from slr.files.whole import whole_file, write_whole
from slr.laptop.post_training.policy import Policy
from slr.laptop.post_training.recipe import Recipe
from slr.models.compressed_layers import compress
from slr.models.packaged import LAYERS_FILE
from slr.models.start_models import GEMMA_CHAT_TEMPLATE

ADAPTER_FILE = "adapter_model.safetensors"


def write_final(
    directory: Path, policy: Policy, start: Mapping[str, torch.Tensor], recipe: Recipe, report: dict[str, Any]
) -> None:
    """Write the weights as they ship and, last, training.json with their SHA-256.

    Args:
        directory: gets an adapter in bfloat16 with what the start model lacks, or the compressed differences of the
            full variant's decoder layers.
        policy: with the weights of the end.
        start: the trained weights' values before training, by name, which the differences are taken from.
        recipe: what made them.
        report: what was measured.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = (
        _write_layers(directory, policy, start)
        if recipe.variant == "full"
        else _write_adapter(directory, policy, recipe)
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    report = {"weights": {"file": path.name, "sha256": digest}, **report}
    write_whole(directory / "training.json", json.dumps(report, indent=1) + "\n")


def _write_layers(directory: Path, policy: Policy, start: Mapping[str, torch.Tensor]) -> Path:
    path = directory / LAYERS_FILE
    with whole_file(path) as unfinished:
        save_file(compress(policy.trained(), start), unfinished)
    return path


def _write_adapter(directory: Path, policy: Policy, recipe: Recipe) -> Path:
    policy.model.save_pretrained(str(directory))
    (directory / "README.md").unlink(missing_ok=True)  # peft's empty model card
    _name_start_model(directory / "adapter_config.json", recipe)
    path = directory / ADAPTER_FILE
    tensors = load_file(path)
    with whole_file(path) as unfinished:
        save_file({key: tensor.bfloat16() for key, tensor in tensors.items()}, unfinished, {"format": "pt"})
    if recipe.model == "gemma":
        _write_chat_settings(directory, policy)
    return path


def _name_start_model(path: Path, recipe: Recipe) -> None:
    """In place of the directory of a cache, which peft puts there."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["base_model_name_or_path"] = f"laptop:{recipe.model}/base"
    write_whole(path, json.dumps(fields, indent=2, sort_keys=True) + "\n")


def _write_chat_settings(directory: Path, policy: Policy) -> None:
    """The chat template and the end of a turn, which gemma's start model does not have."""
    tokenizer: Any = policy.start.tokenizer
    (directory / "chat_template.jinja").write_text(GEMMA_CHAT_TEMPLATE + "\n", encoding="utf-8")
    settings = GenerationConfig(
        eos_token_id=tokenizer.convert_tokens_to_ids([policy.start.turn_end, str(tokenizer.eos_token)]),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    settings.save_pretrained(str(directory))
