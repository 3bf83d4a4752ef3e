"""Ctrl-C and SIGTERM: a command ends within two seconds, with one line that says how to go on.

The first signal raises ``Stopped`` in the main thread, so that ``finally`` blocks clean up. Python does that only
between two of its own instructions, though, and a long call into C, or a library that swallows the exception, would
make it wait. So a thread watches too, and ends the process if it is still there after ``SECONDS_TO_END``. Records
survive this, because each is on disk before the next is begun.

A child that is run by ``run_child`` never outlives this process.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

SECONDS_TO_END = 1.5
"""For cleaning up, after a signal."""

DIES_WITH_PARENT = "SLR_DIES_WITH_PARENT"
"""Environment variable by which a child knows the process that it must not outlive."""
_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""

_children: set[subprocess.Popen[bytes]] = set()
_watches: list[_Watch] = []
"""The watch of each ``run_until_stopped`` that is running, the outermost first."""


class Stopped(BaseException):
    """A signal asked the process to stop; ``status`` is the exit status that shells have for it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


def run_until_stopped(work: Callable[[], int], how_to_go_on: str) -> int:
    """What ``work`` returns, or 130 after Ctrl-C and 143 after SIGTERM; then ``how_to_go_on`` is said.

    A signal that is ignored, as Ctrl-C is for what a shell runs in the background, stays ignored. To be called by what
    ends the process soon afterwards: a process that was told to stop is ended if it lives on.
    """
    _ignore_signals_at_the_very_end()
    watch = _Watch(how_to_go_on)
    _watches.append(watch)
    try:
        with _signals_watched_by(watch):
            return work()
    except Stopped as stopped:
        watch.say()
        return stopped.status
    except KeyboardInterrupt:  # raised otherwise than by the signal
        watch.say()
        return 128 + signal.SIGINT
    finally:
        _watches.remove(watch)


def say_when_stopped(how_to_go_on: str) -> None:
    """Replace what ``run_until_stopped`` says, once the command knows more, such as its output directory."""
    for watch in _watches:
        watch.how_to_go_on = how_to_go_on


@cache
def _ignore_signals_at_the_very_end() -> None:
    """While Python takes its modules apart the work is done, so a signal must not change the exit status.

    What is registered first runs last, after libraries such as wandb have ended their own work.
    """
    atexit.register(_ignore_signals)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _Watch:
    """Says once that the process was stopped, and ends it if it does not end by itself."""

    def __init__(self, how_to_go_on: str) -> None:
        self.how_to_go_on = how_to_go_on
        self._stopped_by: int | None = None
        self._saying = threading.Lock()

    def stop(self, signal_number: int, _frame: FrameType | None) -> None:
        """The signals' handler. Only the first one raises, so that no other one disturbs the cleaning up."""
        if self._stopped_by is None:
            self._stopped_by = signal_number
            raise Stopped(signal_number)

    def wait_for_signal(self, received: int) -> None:
        """Read signals from a pipe until it is closed; after one of them, end the process in time."""
        numbers = os.read(received, 1)
        if not numbers:
            os.close(received)
            return
        threading.Event().wait(SECONDS_TO_END)
        self.say()
        for child in list(_children):
            child.kill()
        os._exit(128 + numbers[0])

    def say(self) -> None:
        """Say how to go on, unless it was said; of several launched processes, the first one says it."""
        if self._saying.acquire(blocking=False) and os.environ.get("RANK", "0") == "0":
            # Not by print, which the main thread may be in the middle of.
            os.write(2, f"\nstopped; {self.how_to_go_on}\n".encode())


@contextmanager
def _signals_watched_by(watch: _Watch) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other one can have handlers
        yield
        return
    received, sent = os.pipe()
    os.set_blocking(sent, False)
    threading.Thread(target=watch.wait_for_signal, args=(received,), daemon=True).start()
    fd_before = signal.set_wakeup_fd(sent, warn_on_full_buffer=False)
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, watch.stop)
        for number, default in defaults.items()
        if signal.getsignal(number) is default
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)
        os.close(sent)


def run_child(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command and return its status. It ends with this process, however this one ends.

    Ctrl-C reaches only this process, which then ends the child. To end with a process that is killed, the command has
    to call ``die_with_parent``.
    """
    names = {**(os.environ if environment is None else environment), DIES_WITH_PARENT: str(os.getpid())}
    child = subprocess.Popen(command, env=names, start_new_session=True)
    _children.add(child)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        _children.discard(child)


def die_with_parent(parent: int | None = None) -> None:
    """Have Linux kill this process when its parent ends.

    ``parent`` is by default the process that called ``run_child``; where neither is known, nothing is done.
    """
    parent = int(os.environ.pop(DIES_WITH_PARENT, "0")) if parent is None else parent
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be told
        os._exit(128 + signal.SIGKILL)
