"""A disk that is full: one line with the path, nothing half-written, and the same command goes on once there is room.

On a file system of 2 MB in memory, which only root can mount.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slr.analysis import make_all
from slr.cli import main
from tests.analysis.synthetic import write_results
from tests.conftest import CheckpointPairs
from tests.kill_harness import measured


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted: {error}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Write a file that leaves only ``leave`` bytes of room."""
    filler = disk / "filler"
    stats = os.statvfs(disk)
    filler.write_bytes(bytes(stats.f_bavail * stats.f_frsize - leave))
    return filler


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """A command's exit status and the last line that it said."""
    capsys.readouterr()
    status = main([*map(str, arguments)])
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in said) == (status != 0)
    return status, said[-1] if said else ""


def files_on(disk: Path) -> set[str]:
    return {path.name for path in disk.rglob("*") if path.is_file()} - {"filler"}


@pytest.mark.parametrize("leave", [0, 24_576, 65_536])
@pytest.mark.usefixtures("few_prompts")
def test_search(
    leave: int,
    disk: Path,
    tmp_path: Path,
    checkpoint_pairs: CheckpointPairs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk is full at the first record, at a PDF, and at a PNG."""
    pair = checkpoint_pairs("llama", num_layers=3)
    filler = fill(disk, leave)
    status, line = run(capsys, "search", *pair, "--output-dir", disk / "found")
    assert status == 1
    assert f"{disk / 'found'}/" in line
    assert line.endswith("No space left on device")
    assert not any("unfinished" in name or "lock" in name for name in files_on(disk))
    filler.unlink()
    assert run(capsys, "search", *pair, "--output-dir", disk / "found")[0] == 0
    assert run(capsys, "search", *pair, "--output-dir", tmp_path / "elsewhere")[0] == 0
    assert measured(disk / "found") == measured(tmp_path / "elsewhere")
    assert files_on(disk) == {path.name for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("beside_weights", "status", "words"),
    [(-4096, 2, "takes"), (8192, 1, "is full, and what was written is removed")],
)
def test_build(
    beside_weights: int,
    status: int,
    words: str,
    disk: Path,
    checkpoint_pairs: CheckpointPairs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = checkpoint_pairs("llama", num_layers=3)
    filler = fill(disk, (pair[1] / "model.safetensors").stat().st_size + beside_weights)
    command = ("build", *pair, "--layers", "1:2", "--output", disk / "out")
    ended, line = run(capsys, *command)
    assert ended == status
    assert f"{disk / 'out'} " in line
    assert words in line
    assert "make room" in line
    assert files_on(disk) == set()
    filler.unlink()
    assert run(capsys, *command)[0] == 0
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= files_on(disk)


@pytest.mark.parametrize("leave", [0, 65_536])
def test_figures(
    leave: int,
    disk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All figures would take five seconds more.
    few = [exhibit for exhibit in make_all.FIGURES if exhibit.id in ("concept", "crc_heatmaps")]
    monkeypatch.setattr(make_all, "FIGURES", few)
    records = write_results(tmp_path / "testbed-x", ("testbed-llama",))
    options = ("--results-dir", records, "--output-dir", disk / "figures")
    filler = fill(disk, leave)
    status, line = run(capsys, "figures", *options)
    assert status == 1
    assert f"{disk / 'figures'}" in line
    assert line.endswith("No space left on device")
    assert files_on(disk) == set()
    filler.unlink()
    assert run(capsys, "figures", *options)[0] == 0
    assert {"concept.png", "index.html"} <= files_on(disk)
