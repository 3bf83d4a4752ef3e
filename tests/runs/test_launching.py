"""``slr run --processes`` on a pair of the testbed: the command starts the processes itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from slr.cli import main
from slr.runs.launching import num_cores
from slr.runs.output_lock import output_lock
from tests.kill_harness import measured

ROOT = Path(__file__).parents[2]
WORDS = ["run", "crc_search", "--families", "qwen", "--smoke", "--wandb", "disabled"]


def start(output_dir: Path, *options: str, words: Sequence[str] = WORDS) -> subprocess.Popen[str]:
    # The tests may run in the background, where Ctrl-C is ignored.
    with_signals = [sys.executable, str(ROOT / "tests" / "programs" / "with_signals.py")]
    command = [*with_signals, sys.executable, "-m", "slr", *words, "--output-dir", str(output_dir)]
    return subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_two_processes_make_the_records_of_one(tmp_path: Path):
    for count in (1, 2):
        process = start(tmp_path / str(count), "--processes", str(count))
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert said.count("finished in") == 1
    assert (tmp_path / "2" / "crc_search.rank1.jsonl").stat().st_size > 0
    assert measured(tmp_path / "2") == measured(tmp_path / "1")


@pytest.mark.long
def test_ctrl_c_ends_all_processes_with_one_message(tmp_path: Path):
    # Not of smoke size, because that might end before the signal arrives.
    words = [word for word in WORDS if word != "--smoke"]
    process = start(tmp_path, "--processes", "2", words=words)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # which returns when no process is left that could write
    assert process.returncode == 130
    assert said.count("stopped; all records so far are in") == 1


def test_a_launcher_and_processes_of_our_own_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*WORDS, "--output-dir", str(tmp_path), "--processes", "2"]) == 2
    assert "--processes is 2 under a launcher" in capsys.readouterr().err


def test_there_is_a_core():
    assert 1 <= num_cores() <= (os.cpu_count() or 1)


def test_an_error_of_the_first_process_is_told_without_a_traceback_of_the_others(tmp_path: Path) -> None:
    with output_lock(tmp_path):
        process = start(tmp_path, "--processes", "2")
        _, said = process.communicate(timeout=240)
    assert process.returncode == 2, said
    assert f"{tmp_path} is in use" in said
    assert "Traceback" not in said
