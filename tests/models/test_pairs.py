"""Presets and references: names, pinned revisions, and what a location means."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slr.models.pairs import PRESETS, ModelReference, find_pair

HUB_PAIRS = [pair for name in ("small", "paper") for pair in PRESETS[name].pairs]


def test_every_preset_has_one_pair_a_family() -> None:
    assert list(PRESETS) == ["testbed", "laptop", "small", "paper"]
    for preset in PRESETS.values():
        families = ["llama", "gemma"] if preset.name == "laptop" else ["llama", "qwen", "gemma"]
        assert [pair.family for pair in preset.pairs] == families
        assert [pair.name for pair in preset.pairs] == [
            f"{preset.name}-{pair.family}" for pair in preset.pairs
        ]


@pytest.mark.parametrize("pair", HUB_PAIRS, ids=lambda pair: pair.name)
def test_every_hub_model_is_pinned_to_a_commit(pair) -> None:
    for reference in (pair.base, pair.instruct):
        assert reference.revision is not None
        assert re.fullmatch("[0-9a-f]{40}", reference.revision)
    assert pair.base.revision != pair.instruct.revision
    assert pair.num_layers is not None
    assert pair.num_parameters is not None


def test_no_revision_is_used_twice() -> None:
    revisions = [r.revision for pair in HUB_PAIRS for r in (pair.base, pair.instruct)]
    assert len(set(revisions)) == len(revisions)


def test_find_pair() -> None:
    assert find_pair("paper-gemma").instruct.location == "google/gemma-2-9b-it"
    with pytest.raises(ValueError, match=r"no pair named 'paper-mistral'.*testbed-llama.*paper-gemma"):
        find_pair("paper-mistral")


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
    with pytest.raises(ValueError, match=r"there is no laptop model.*smollm2, gemma.*base, adapter"):
        ModelReference(location).directory  # noqa: B018


def test_importing_presets_imports_nothing_heavy() -> None:
    code = "import sys, slr.models.pairs; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
