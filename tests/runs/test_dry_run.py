"""What a run needs, by the sizes of its pairs and what the hub's cache holds."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from slr.cli import main
from slr.models.presets import PRESETS
from slr.models.reference import ModelReference
from slr.runs.dry_run import _is_to_download, _needs

REVISION = "0" * 40


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of ``a/b`` in an empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    path = tmp_path / "models--a--b" / "snapshots" / REVISION
    path.mkdir(parents=True)
    return path


def test_the_paper_pairs_need_their_weights_in_16_bits(snapshot: Path) -> None:
    """Six models of 24.9 billion weights a side; gemma's two fill the GPU most."""
    pairs = PRESETS["paper"].pairs
    memory, download, disk = _needs(pairs, "cuda", snapshot)
    assert memory.startswith("GPU memory: 36.97 GB for both models")
    assert download == "Download: 6 models, about 99.6 GB."
    assert "GB are free" in disk


def test_a_dry_run_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = ["run", "all", "--preset", "paper", "--dry-run", "--output-dir", str(tmp_path / "out")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "reasoning " in printed
    assert "prediction " in printed
    assert re.search(r"The times follow from \d+ TFLOP/s, and \d+ TFLOP/s while sampling, measured", printed)


def test_an_unfinished_download_is_still_to_be_done(snapshot: Path) -> None:
    model = ModelReference("a/b", REVISION)
    assert _is_to_download(model)
    shards = {"x": "model-1.safetensors", "y": "model-2.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (snapshot / "model-1.safetensors").touch()
    assert _is_to_download(model)
    (snapshot / "model-2.safetensors").touch()
    assert not _is_to_download(model)


def test_a_directory_and_a_packaged_model_are_here(tmp_path: Path) -> None:
    assert not _is_to_download(ModelReference(str(tmp_path)))
    assert not _is_to_download(ModelReference("laptop:gemma/base"))
