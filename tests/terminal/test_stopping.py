"""Processes that are told to stop while they do what cannot be interrupted in Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slr.terminal.stopping import Stopped, run_children, run_until_stopped

ROOT = Path(__file__).parents[2]
SECONDS_TO_END = 10
"""Where 2 are promised; machines that run tests are busy."""


def start(how: str, begun: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.busy", how, str(begun)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(begun.exists)
    time.sleep(0.2)  # the file is made a moment before the work is begun
    return process


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", ["swallowing", "swallowing once", "computing", "cleaning", "exiting"])
def test_ends_in_time_with_one_message(tmp_path: Path, work: str, how: signal.Signals):
    process = start(work, tmp_path / "begun")
    process.send_signal(how)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < SECONDS_TO_END
    assert (process.returncode, said) == (128 + how, "\nstopped; go on\n")
    assert (tmp_path / "begun").read_text() == ("cleaned" if work == "cleaning" else "begun")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_child_does_not_outlive_its_parent(tmp_path: Path, how: signal.Signals):
    if how == signal.SIGKILL and not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a child with a parent that is killed")
    process = start("child", tmp_path / "begun")
    child = int((tmp_path / "begun").read_text())
    assert is_running(child)
    process.send_signal(how)
    process.communicate(timeout=60)
    wait_until(lambda: not is_running(child), SECONDS_TO_END)


def test_children_differ_by_their_environments(tmp_path: Path):
    code = "import os, pathlib; pathlib.Path(os.environ['PLACE']).touch()"
    places = [tmp_path / "a", tmp_path / "b"]
    assert (
        run_children([sys.executable, "-c", code], [{**os.environ, "PLACE": str(at)} for at in places]) == 0
    )
    assert all(place.exists() for place in places)


def test_the_first_child_that_fails_ends_the_others():
    code = "import os, sys, time; time.sleep(300 * (os.environ['WHO'] == 'slow')); sys.exit(7)"
    began = time.monotonic()
    environments = [{**os.environ, "WHO": who} for who in ("slow", "quick", "slow")]
    assert run_children([sys.executable, "-c", code], environments) == 7
    assert time.monotonic() - began < 60


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An ended process stays until its parent asks for its status; of a container's first process, that may be never.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"


def test_handlers_are_as_they_were_and_what_is_returned_is_kept():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run_until_stopped(lambda: 7, "go on") == 7
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_what_is_raised_otherwise_has_the_same_status(capfd: pytest.CaptureFixture[str]):
    def stop() -> int:
        raise Stopped(signal.SIGTERM)

    def interrupt() -> int:
        raise KeyboardInterrupt

    assert run_until_stopped(stop, "go on") == 143
    assert run_until_stopped(interrupt, "go on") == 130
    assert capfd.readouterr().err == "\nstopped; go on\n" * 2


def test_a_thread_works_without_handlers():
    returned: list[int] = []
    thread = threading.Thread(target=lambda: returned.append(run_until_stopped(lambda: 7, "go on")))
    thread.start()
    thread.join()
    assert returned == [7]


def test_an_ignored_signal_stays_ignored():
    """As Ctrl-C is for what a shell runs in the background."""
    code = (
        "import os, signal; from slr.terminal.stopping import run_until_stopped; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "raise SystemExit(run_until_stopped(lambda: os.kill(os.getpid(), signal.SIGINT) or 7, 'go on'))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 7
