"""References: what a location means, and what a reader on another machine sees of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slr.models.reference import ModelReference, PairSpec


def test_reference_to_a_directory(tmp_path: Path) -> None:
    assert ModelReference(str(tmp_path)).directory == tmp_path
    with pytest.raises(ValueError, match="only models on the hub have revisions"):
        ModelReference(str(tmp_path), "main").directory  # noqa: B018


def test_reference_to_the_hub() -> None:
    reference = ModelReference("Qwen/Qwen2.5-7B", "abc")
    assert reference.directory is None
    assert str(reference) == "Qwen/Qwen2.5-7B@abc"


@pytest.mark.parametrize("location", ["./nowhere", "/nowhere/at/all", "gpt2", "a/b/c", "~/nowhere", ""])
def test_reference_to_nothing(location: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"there is no directory {location!r}")):
        ModelReference(location).directory  # noqa: B018


def test_reference_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ValueError, match="is a file: expected the directory of a checkpoint"):
        ModelReference(str(file)).directory  # noqa: B018


@pytest.mark.parametrize("location", ["testbed:mistral/base", "testbed:llama", "testbed:llama/chat"])
def test_reference_to_an_unknown_testbed_model(location: str) -> None:
    with pytest.raises(ValueError, match=r"there is no testbed model.*llama, qwen, gemma.*base, instruct"):
        ModelReference(location).directory  # noqa: B018


@pytest.mark.parametrize("location", ["laptop:llama/base", "laptop:gemma", "laptop:gemma/instruct"])
def test_reference_to_an_unknown_laptop_model(location: str) -> None:
    with pytest.raises(
        ValueError, match=r"there is no laptop model.*laptop:smollm2/full.*laptop:gemma/adapter"
    ):
        ModelReference(location).directory  # noqa: B018


def test_paths_of_the_models_and_the_home_directory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    text = "/home/somebody/models/pair/base and /home/somebody/models/pair lie in /home/somebody/models"
    assert pair_of("/home/somebody/models/pair/base", "/home/somebody/models/pair").without_paths(text) == (
        "base and pair lie in ~/models"
    )
    monkeypatch.setenv("HOME", "/")
    assert pair_of("a/b", "c/d").without_paths("a/b, /home") == "a/b, /home"


def pair_of(base: str, instruct: str) -> PairSpec:
    return PairSpec(
        name="pair",
        family="llama",
        base=ModelReference(base),
        instruct=ModelReference(instruct),
        num_layers=None,
        num_parameters=None,
    )
