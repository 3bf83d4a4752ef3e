"""What of a checkpoint's directory counts, and what does not."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slr.models import digests as module
from slr.models.digests import checkpoint_digests
from tests.conftest import CheckpointPairs


@pytest.fixture
def directory(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> Path:
    """A checkpoint that may be changed."""
    return Path(shutil.copytree(checkpoint_pairs("llama")[1], tmp_path / "instruct"))


def edit_json(path: Path, **changes: object) -> None:
    fields = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(fields | changes), encoding="utf-8")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "first byte": ("weights", lambda d: flip(d / "model.safetensors", 0)),
    "a byte in the middle": ("weights", lambda d: flip(d / "model.safetensors", 50_001)),
    "last byte": ("weights", lambda d: flip(d / "model.safetensors", -1)),
    "another shard": ("weights", lambda d: (d / "model-2.safetensors").write_bytes(b"")),
    "setting": ("configuration", lambda d: edit_json(d / "config.json", rms_norm_eps=0.1)),
    "end tokens": (
        "generation configuration",
        lambda d: edit_json(d / "generation_config.json", eos_token_id=9),
    ),
    "adapter": ("adapter configuration", lambda d: edit_json(d / "adapter_config.json", r=9)),
    "token": ("tokenizer", lambda d: edit_json(d / "tokenizer.json", version="2.0")),
    "tokenizer's setting": ("tokenizer", lambda d: edit_json(d / "tokenizer_config.json", eos_token="x")),
    "template": ("chat template", lambda d: (d / "chat_template.jinja").write_text("{{ 1 }}")),
    "template in the settings": (
        "chat template",
        lambda d: edit_json(d / "tokenizer_config.json", chat_template="{{ 2 }}"),
    ),
    "another template": (
        "chat template",
        lambda d: (
            (
                (d / "additional_chat_templates").mkdir(),
                (d / "additional_chat_templates" / "tools.jinja").write_text("{{ 3 }}"),
            )
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_in_its_part_alone(directory: Path, change: str):
    part, make = CHANGES[change]
    before = checkpoint_digests(directory)
    make(directory)
    after = checkpoint_digests(directory)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {part}


def test_a_copy_elsewhere_written_by_another_version_is_the_same(directory: Path, tmp_path: Path):
    before = checkpoint_digests(directory)
    copy = Path(shutil.copytree(directory, tmp_path / "elsewhere"))
    for path in copy.iterdir():
        os.utime(path, (1, 1))
    edit_json(copy / "config.json", transformers_version="99.0", _name_or_path="/home/somebody")
    (copy / "README.md").write_text("a card")
    assert checkpoint_digests(copy) == before


@pytest.mark.parametrize(
    ("position", "is_seen"), [(0, True), (3, True), (10, True), (16, True), (39, True), (13, False)]
)
def test_of_a_large_file_beginning_end_and_blocks_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, is_seen: bool
):
    monkeypatch.setattr(module, "WHOLE_BYTES", 20)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4)
    monkeypatch.setattr(module, "BLOCK_DISTANCE", 8)
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(40))
    module._weights_digest.cache_clear()
    before = checkpoint_digests(tmp_path)
    flip(path, position)
    module._weights_digest.cache_clear()
    assert (checkpoint_digests(tmp_path) != before) == is_seen


def test_a_damaged_file_has_a_digest_too(directory: Path):
    for content in (b"{", b"[1]", b"\xff", b'"' + b"[" * 100):
        (directory / "config.json").write_bytes(content)
        (directory / "tokenizer_config.json").write_bytes(content)
        assert {"configuration", "tokenizer"} <= checkpoint_digests(directory).keys()


def test_without_files_there_is_nothing(tmp_path: Path):
    assert checkpoint_digests(tmp_path) == {}
