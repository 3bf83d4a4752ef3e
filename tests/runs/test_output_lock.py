from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slr.runs import output_lock as module
from slr.runs.output_lock import LOCK_FILE, OutputInUseError, check_still_there, output_lock

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from pathlib import Path
from slr.runs.output_lock import output_lock
with output_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


def hold_elsewhere(output_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_it_and_a_kill_frees_it(tmp_path: Path):
    output_dir = tmp_path / "results" / "pair"
    process = hold_elsewhere(output_dir)
    try:
        whose = f"process {process.pid} on {socket.gethostname()}"
        with pytest.raises(OutputInUseError, match=f"{output_dir} is in use by {whose}: wait"):  # noqa: SIM117
            with output_lock(output_dir):
                pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (output_dir / LOCK_FILE).exists()
    with output_lock(output_dir):
        assert str(os.getpid()) in (output_dir / LOCK_FILE).read_text()
        with output_lock(output_dir):  # a run within a run
            pass
        assert (output_dir / LOCK_FILE).exists()
    assert not (output_dir / LOCK_FILE).exists()


def test_what_nothing_was_put_into_is_removed_again(tmp_path: Path):
    with output_lock(tmp_path / "results" / "pair"):
        assert (tmp_path / "results" / "pair").is_dir()
    assert not any(tmp_path.iterdir())
    with output_lock(tmp_path / "results" / "pair"):
        (tmp_path / "results" / "pair" / "records").touch()
    assert [path.name for path in (tmp_path / "results" / "pair").iterdir()] == ["records"]


@pytest.mark.skipif(sys.platform == "win32", reason="a directory with an open file cannot be removed there")
@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_directory_that_is_removed_is_noticed(tmp_path: Path, is_made_anew: bool):
    output_dir = tmp_path / "pair"
    with output_lock(output_dir):
        check_still_there(output_dir)
        shutil.rmtree(output_dir)
        if is_made_anew:
            output_dir.mkdir()
        with pytest.raises(OSError, match=f"{output_dir} was removed or replaced during the run"):
            check_still_there(output_dir)
    check_still_there(output_dir)  # nobody holds it


def test_without_locks_it_goes_on_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(_: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "_try_to_lock", fail)
    with output_lock(tmp_path):
        pass
    assert f"the file system of {tmp_path} has no locks (No locks available)" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_file_in_place_of_the_directory_is_one_line_with_its_path(tmp_path: Path):
    (tmp_path / "results").touch()
    with pytest.raises(OSError, match=r"results/pair cannot be made: Not a directory"):  # noqa: SIM117
        with output_lock(tmp_path / "results" / "pair"):
            pass


def test_what_cannot_be_written_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    with output_lock(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked there")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path):
    reading, writing = os.pipe()
    with output_lock(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    with output_lock(tmp_path):
        pass
    os.close(writing)
    os.waitpid(child, 0)
