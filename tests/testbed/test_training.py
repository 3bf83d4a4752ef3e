"""The shipped pairs load as any model, and the training script does what the card says."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.models import packaged
from slr.models.loading import load_pair
from slr.models.packaged import TESTBED_NAMES, TestbedName
from slr.testbed.models import TESTBED_FAMILIES
from slr.testbed.training import TrainingConfig, main, train_family

CLASSES = {"llama": "LlamaForCausalLM", "qwen": "Qwen2ForCausalLM", "gemma": "Gemma2ForCausalLM"}


@pytest.mark.parametrize("family", TESTBED_NAMES)
def test_shipped_checkpoints_load_as_any_model(family: TestbedName) -> None:
    for side in ("base", "instruct"):
        directory = packaged.testbed_directory(family) / side
        model = AutoModelForCausalLM.from_pretrained(directory)
        tokenizer = AutoTokenizer.from_pretrained(directory)
        assert type(model).__name__ == CLASSES[family]
        assert model.dtype == torch.bfloat16
        assert bool(tokenizer.chat_template) == (side == "instruct")
        tokens = tokenizer("Q: Name a river.\nA:", return_tensors="pt")
        assert torch.isfinite(model(**tokens).logits).all()


def test_shipped_checkpoints_are_small() -> None:
    root = packaged.testbed_directory("llama").parent
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) <= 15e6


@pytest.mark.parametrize("family", TESTBED_NAMES)
def test_post_training_made_the_shipped_models_valid_and_less_diverse(family: TestbedName) -> None:
    pair = load_pair(f"testbed-{family}", dtype=torch.float32)
    encoded = encode_prompts(load_prompts("held_out"), pair.tokenizer)
    base, instruct = (score_model(model, encoded) for model in (pair.base_model, pair.instruct_model))
    assert instruct.mean_validity > base.mean_validity + 0.15
    assert instruct.mean_diversity is not None
    assert base.mean_diversity is not None
    assert instruct.mean_diversity < base.mean_diversity


@pytest.mark.parametrize("family", TESTBED_NAMES)
def test_spec_says_what_is_shipped(family: TestbedName) -> None:
    from slr.models.presets import find_pair

    spec = find_pair(f"testbed-{family}")
    training = json.loads((packaged.testbed_directory(family) / "training.json").read_text())
    assert (spec.num_layers, spec.num_parameters) == (training["num_layers"], training["num_parameters"])


def test_every_character_is_a_token_alone_and_digits_never_merge() -> None:
    tokenizer = AutoTokenizer.from_pretrained(packaged.testbed_directory("qwen") / "instruct")
    for character in "azAZ09":
        assert len(tokenizer(character)["input_ids"]) == 1
    assert len(tokenizer("2024")["input_ids"]) == 4


@pytest.mark.long
def test_shortened_training(tmp_path: Path) -> None:
    """A short training of few layers: the loss falls, and post-training makes answers valid and choices peaked."""
    config = replace(
        TrainingConfig(),
        tokenizer_documents=400,
        base_steps=60,
        base_batch_size=8,
        instruct_steps=220,
        instruct_batch_size=8,
    )
    family = TESTBED_FAMILIES["qwen"]
    shallow: Any = copy.deepcopy(family.config)
    shallow.num_hidden_layers = 3
    shallow.layer_types = shallow.layer_types[:3]
    train_family(replace(family, config=shallow), config, tmp_path)
    report = json.loads((tmp_path / "training.json").read_text())
    for stage in ("base", "instruct"):
        assert report[stage]["last_loss"] < 0.8 * report[stage]["first_loss"], report[stage]
    pair = load_pair(tmp_path / "base", tmp_path / "instruct", dtype=torch.float32)
    encoded = encode_prompts(load_prompts("selection"), pair.tokenizer)
    base, instruct = (score_model(model, encoded) for model in (pair.base_model, pair.instruct_model))
    assert instruct.mean_validity > base.mean_validity + 0.1
    assert instruct.mean_diversity is not None
    assert base.mean_diversity is not None
    assert instruct.mean_diversity < base.mean_diversity


def test_training_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "llama" / "base").mkdir(parents=True)
    assert main(["--family", "llama", "--output-dir", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
