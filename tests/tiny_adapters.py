"""Adapters of tiny base models, made by peft, and what peft itself computes with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from slr.models.quiet_libraries import quiet_libraries
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

TOKENS = torch.tensor([[5, 9, 40, 80, 33, 7, 61, 100, 12, 200]])


def make_adapter(
    directory: Path,
    architecture: str = "llama",
    *,
    num_layers: int = 5,
    tied: bool | None = None,
    save: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Path, Path]:
    """Write a base checkpoint and an adapter of it, all of whose tensors were moved at random.

    Args:
        directory: where ``base`` and ``adapter`` are written.
        architecture: of ``tests.tiny_models``.
        num_layers: decoder layers of the base model.
        tied: whether its head shares the embedding's weights; None: as is usual for the architecture.
        save: arguments for peft's ``save_pretrained``.
        options: fields of peft's ``LoraConfig``.
    """
    base, adapter = directory / "base", directory / "adapter"
    with quiet_libraries():
        make_model(architecture, num_layers=num_layers, tied=tied).save_pretrained(base)
        make_tokenizer().save_pretrained(base)
        tuned = train(base, **options)
        tuned.save_pretrained(str(adapter), **(save or {}))
    (adapter / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (adapter / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 4]}))
    (adapter / "LICENSE").write_text("ours")
    return base, adapter


def train(
    base: Path,
    *,
    noise: float = 0.2,
    prepare: Callable[[PreTrainedModel, LoraConfig], object] = lambda _model, _config: None,
    **options: Any,
) -> Any:
    """The base model with an adapter in peft, every trainable number of which was moved.

    ``prepare`` is called before, as some initialisations need it.
    """
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", **options}
    config = LoraConfig(task_type="CAUSAL_LM", **settings)
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(base)
        prepare(model, config)
        tuned: Any = get_peft_model(model, config)
    # Its own path would be that of a directory of the test.
    tuned.peft_config["default"].base_model_name_or_path = None
    move(tuned, noise)
    return tuned.eval()


def move(tuned: Any, noise: float) -> None:
    """Add noise to all that is trained."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(noise * torch.randn(parameter.shape, generator=generator))


def by_peft(base: Path, adapter: Path, *, merge: bool = False) -> PreTrainedModel:
    """The reference: peft alone, merged or not."""
    with quiet_libraries():
        model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        return (model.merge_and_unload() if merge else model).eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    """Logits of one fixed sequence, shape (1, tokens, vocabulary)."""
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


def relative_difference(found: PreTrainedModel, expected: PreTrainedModel) -> float:
    """Largest difference of the logits, in units of the largest logit."""
    reference = logits(expected)
    return float((logits(found) - reference).abs().max() / reference.abs().max())


def change_config(adapter: Path, **fields: object) -> None:
    """Overwrite fields of an adapter's configuration."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
