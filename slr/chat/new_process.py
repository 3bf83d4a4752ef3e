"""Compute in a new Python process within limits of time and memory, on every operating system."""

from __future__ import annotations

import faulthandler
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

SECONDS_TO_START = 60.0
"""Seconds that the process may take to start and to import."""
SECONDS_BETWEEN_LOOKS = 0.05
"""Seconds between two looks at the memory of the process."""
START_BYTES = 256 << 20
"""Bytes that the process may take for itself."""

# The new process finds this package where the present one found it, even in a checkout that is not installed.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from slr.chat.new_process import answer; answer()"
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Time in seconds and memory in bytes that a computation may take."""

    seconds: float
    memory_bytes: int

    @property
    def too_slow(self) -> str:
        """Why a computation was ended that took too long."""
        return f"it was not rendered within {int(self.seconds)} seconds"

    @property
    def died(self) -> str:
        """Why a process ended that gave no answer."""
        return (
            "the process that renders it died, probably because it needs more than "
            f"{self.memory_bytes >> 20} MB of memory"
        )


class LimitError(Exception):
    """A computation took too long or too much memory, or its process died."""


def in_new_process(function: Callable[..., Any], arguments: Sequence[Any], limits: Limits) -> Any:
    """Call a function in a new process and return what it gives.

    Args:
        function: function of a module.
        arguments: its arguments. They and the result go through pipes as JSON.
        limits: limits of the call. Starting the process does not count.

    Raises:
        LimitError: if it takes too long or too much memory, or the process dies.
    """
    request = [function.__module__, function.__name__, list(arguments), limits.seconds]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="ascii",
    ) as process:
        try:
            output = _communicate(process, f"{json.dumps(sys.path)}\n{json.dumps(request)}", limits)
        finally:
            process.kill()
    if not output and process.returncode == 1:
        raise LimitError(limits.too_slow)
    try:
        return json.loads(output)
    except ValueError:
        raise LimitError(limits.died) from None


def _communicate(process: subprocess.Popen[str], request: str, limits: Limits) -> str:
    """Send a request and read the answer, while the time and memory of the process are watched.

    Raises:
        LimitError: if it takes too much.
    """
    deadline = time.monotonic() + SECONDS_TO_START + limits.seconds
    to_send: str | None = request
    while time.monotonic() < deadline:
        try:
            return process.communicate(to_send, timeout=SECONDS_BETWEEN_LOOKS)[0]
        except subprocess.TimeoutExpired:
            to_send = None  # it is on its way
        if _memory_bytes(process.pid) > START_BYTES + limits.memory_bytes:
            raise LimitError(limits.died)
    raise LimitError(limits.too_slow)


def _memory_bytes(process_id: int) -> int:
    try:
        return psutil.Process(process_id).memory_info().rss
    except psutil.Error:  # it has just ended
        return 0


def answer() -> None:
    """Answer the request on the standard input; the new process calls this."""
    module, name, arguments, seconds = json.load(sys.stdin)
    function = getattr(importlib.import_module(module), name)
    # This ends the process with status 1 even while an operation holds the interpreter.
    faulthandler.dump_traceback_later(seconds, exit=True)
    json.dump(function(*arguments), sys.stdout)
