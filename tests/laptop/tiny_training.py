"""All stages of post-training on a tiny random model, in a process of its own: ``train([DIR, FILE, COUNT])``.

With FILE, such as ``sft/state.pt``, the process kills itself (SIGKILL) when it is about to give a file of that name its
name for the COUNT-th time. The state of training is saved after every step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from slr.laptop.post_training import optimisation, sampling, stages
from slr.laptop.post_training.policy import StartModel
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.requests.prompts import TrainingPrompt, training_prompts
from slr.models.start_models import LaptopModel
from slr.sampling.generation import Sample, sample
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

RECIPE = Recipe(
    model="smollm2",
    lora_rank=2,
    elicited_samples=4,
    dev_samples=4,
    sampling_batch=4,
    max_exchanges=24,
    sft_batch=4,
    round_prompts=5,
    round_samples=3,
    round_batch=2,
    max_rounds=2,
)


def tiny_start_model(name: LaptopModel) -> StartModel:
    """A random model of the same architecture."""
    model = make_model("gemma3" if name == "gemma" else "llama", num_layers=2)
    return StartModel(model, make_tokenizer(CHAT_TEMPLATE), "<|end|>")


def tiny_prompts() -> list[TrainingPrompt]:
    """A few prompts, of which any answer is accepted, because a random model gives none that is right."""
    prompts = [prompt for prompt in training_prompts() if prompt.family in ("naming", "picking", "copy")]
    chosen = [prompt for prompt in prompts if not prompt.is_dev][::40] + [
        prompt for prompt in prompts if prompt.is_dev
    ][::12]
    return [replace(prompt, accepts=lambda _: True) for prompt in chosen]


def with_tiny_models(patch: pytest.MonkeyPatch) -> None:
    """Let training start from tiny models, whose answers all count as ended, and save every step."""

    def ended(*arguments: Any, **settings: Any) -> list[list[Sample]]:
        return [
            [replace(one, finished=True) for one in samples] for samples in sample(*arguments, **settings)
        ]

    patch.setattr(stages, "load_start_model", tiny_start_model)
    patch.setattr(sampling, "sample", ended)
    patch.setattr(optimisation, "SAVE_EVERY_SECONDS", 0.0)


def train(arguments: Sequence[str]) -> None:
    """Train, and kill this process where that is asked for."""
    # The last bits depend on it.
    torch.set_num_threads(1)
    file, count = (arguments[1], int(arguments[2])) if len(arguments) > 1 else ("", 0)
    rename = os.replace
    num_named = 0

    def rename_or_die(source: Path, target: Path) -> None:
        nonlocal num_named
        num_named += bool(file) and str(target).endswith(file)
        if file and num_named == count:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        with_tiny_models(patch)
        patch.setattr(os, "replace", rename_or_die)
        stages.post_train(RECIPE, Path(arguments[0]), tiny_prompts())
