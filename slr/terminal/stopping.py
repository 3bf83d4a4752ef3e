"""Ctrl-C and SIGTERM: a command ends within two seconds, with one line that says how to go on.

The first signal raises ``Stopped`` in the main thread, so that ``finally`` blocks clean up. But Python raises
only between two of its own instructions. A long call into C, or a library that swallows the exception, would
make the user wait. So a thread watches too, and ends the process if it is still there after
``SECONDS_TO_END``. Records survive this, because each is on disk before the next one is begun.

A child that ``run_children`` starts never outlives this process.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

SECONDS_TO_END = 1.5
"""Seconds that a process has to clean up after a signal."""

SECONDS_BETWEEN_LOOKS = 0.05
"""Seconds between two looks at several children, of which any may end first."""

DIES_WITH_PARENT = "SLR_DIES_WITH_PARENT"
"""Environment variable that holds the id of the process that a child must not outlive."""
_PR_SET_PDEATHSIG = 1
"""Number of the operation of Linux's prctl(2) that sets the signal to get when the parent ends."""

DEFAULT_HANDLERS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What Python does at a signal before anybody sets a handler."""

_children: set[subprocess.Popen[bytes]] = set()
_watches: list[_Watch] = []
"""Watch of each ``run_until_stopped`` that is running, the outermost first."""


class Stopped(BaseException):
    """Raised when a signal asks the process to stop.

    Attributes:
        status: exit status that shells use for the signal.
    """

    def __init__(self, signal_number: int) -> None:
        """Keep the exit status for a signal."""
        super().__init__(signal_number)
        self.status = 128 + signal_number


def run_until_stopped(work: Callable[[], int], how_to_go_on: str) -> int:
    """Run work until it ends or a signal stops it, then say how to go on.

    A signal that is ignored stays ignored, as Ctrl-C is for what a shell runs in the background. The caller
    must end the process soon afterwards, because a process that was asked to stop is ended if it lives on.

    Args:
        work: the work, which returns an exit status.
        how_to_go_on: sentence to print if a signal stopped it.

    Returns:
        The status of ``work``; 130 after Ctrl-C and 143 after SIGTERM.
    """
    _ignore_signals_at_the_very_end()
    watch = _Watch(how_to_go_on)
    _watches.append(watch)
    try:
        with _signals_watched_by(watch):
            status = work()
        # A library may have swallowed what the signal raised, and the work may be done only in part.
        if watch.stopped_by is not None:
            watch.say()
            return 128 + watch.stopped_by
        return status
    except Stopped as stopped:
        watch.say()
        return stopped.status
    # Something else than the signal raised it.
    except KeyboardInterrupt:
        watch.say()
        return 128 + signal.SIGINT
    finally:
        _watches.remove(watch)
        _end_at_a_signal_in_exit_functions(watch)


def say_when_stopped(how_to_go_on: str) -> None:
    """Replace what ``run_until_stopped`` prints, once the command knows more, such as its output directory."""
    for watch in _watches:
        watch.how_to_go_on = how_to_go_on


@cache
def _ignore_signals_at_the_very_end() -> None:
    """Ignore signals while Python takes its modules apart.

    The work is done by then, so a signal must not change the exit status. What is registered first runs last,
    after libraries such as wandb have ended their own work.
    """
    atexit.register(_ignore_signals)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _end_at_a_signal_in_exit_functions(watch: _Watch) -> None:
    """Have a signal end the process with the promised status and line while libraries end their own work.

    What is registered last runs first, so this is done when the work is over and the libraries have registered theirs.
    """

    def end(signal_number: int, _frame: FrameType | None) -> None:
        watch.say()
        os._exit(128 + signal_number)

    def set_handlers() -> None:
        for number, default in DEFAULT_HANDLERS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, end)

    atexit.register(set_handlers)


def is_first_process() -> bool:
    """Whether this is the first of the processes that a launcher started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


class _Watch:
    """Prints once that the process was stopped, and ends the process if it does not end by itself."""

    def __init__(self, how_to_go_on: str) -> None:
        self.how_to_go_on = how_to_go_on
        self.stopped_by: int | None = None
        self._saying = threading.Lock()

    def stop(self, signal_number: int, _frame: FrameType | None) -> None:
        """Handle a signal. Only the first one raises, so that no other one disturbs the cleaning up.

        Raises:
            Stopped: at the first signal.
        """
        if self.stopped_by is None:
            self.stopped_by = signal_number
            raise Stopped(signal_number)

    def wait_for_signal(self, received: int) -> None:
        """Read signals from a pipe until it is closed; after the first one, end the process in time."""
        numbers = os.read(received, 1)
        if not numbers:
            os.close(received)
            return
        threading.Event().wait(SECONDS_TO_END)
        self.say()
        # os._exit skips the finally blocks that would end the children.
        for child in list(_children):
            child.kill()
        os._exit(128 + numbers[0])

    def say(self) -> None:
        """Print once how to go on; of several launched processes, only the first one prints it."""
        if self._saying.acquire(blocking=False) and is_first_process():
            # print would wait for a lock that the main thread may hold.
            os.write(2, f"\nstopped; {self.how_to_go_on}\n".encode())


@contextmanager
def _signals_watched_by(watch: _Watch) -> Generator[None]:
    # Only the main thread can set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Python's C code writes each signal's number into the pipe at once, even while the main thread is stuck in C.
    received, sent = os.pipe()
    # The signal handler must never wait, not even if the pipe were full. Windows can do that from Python 3.12 on.
    if hasattr(os, "set_blocking"):
        os.set_blocking(sent, False)
    threading.Thread(target=watch.wait_for_signal, args=(received,), daemon=True).start()
    fd_before = signal.set_wakeup_fd(sent, warn_on_full_buffer=False)
    # Only default handlers are replaced: an ignored signal stays ignored, and a caller's handler stays in place.
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, watch.stop)
        for number, default in DEFAULT_HANDLERS.items()
        if signal.getsignal(number) is default
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)
        os.close(sent)


def run_child(command: Sequence[str]) -> int:
    """Run a command and return its exit status; see ``run_children``."""
    return run_children(command, [os.environ])


def run_children(command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> int:
    """Run a command once in each environment, at the same time; they end with this process, however that ends.

    If one fails, the others are ended. Ctrl-C reaches only this process, which then ends them. If this process is
    killed, a child ends only if it has called ``die_with_parent``.

    Args:
        command: program and arguments.
        environments: environment variables, for each child.

    Returns:
        The exit status of the first child that failed, and 0 if none did.
    """
    children: list[subprocess.Popen[bytes]] = []
    try:
        for environment in environments:
            names = {**environment, DIES_WITH_PARENT: str(os.getpid())}
            # In a session of its own a child gets no Ctrl-C from the terminal: this process alone decides how to stop.
            # On Windows, where the first argument does nothing, a group of processes has the same effect.
            group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
            children.append(subprocess.Popen(command, env=names, start_new_session=True, creationflags=group))
            _children.add(children[-1])
        running = list(children)
        while running:
            running[0].wait() if len(running) == 1 else time.sleep(SECONDS_BETWEEN_LOOKS)
            if failed := [child.returncode for child in running if child.poll()]:
                return failed[0]
            running = [child for child in running if child.returncode is None]
        return 0
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
            _children.discard(child)


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux to kill this process when its parent ends.

    Args:
        parent: id of the parent; by default the process that called ``run_children``. If neither is known,
            nothing is done.
    """
    # The variable is removed, so that children of this process do not take its parent for their own.
    parent = int(os.environ.pop(DIES_WITH_PARENT, "0")) if parent is None else parent
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the call above.
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
