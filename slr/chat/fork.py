"""Compute in a fork of this process within limits of time and memory; works on Linux only.

The operating system limits the child's processor time and memory.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slr.chat.new_process import LimitError, Limits


def in_fork(compute: Callable[[], Any], limits: Limits) -> Any:
    """Call a function in a fork and return what it gives, which goes through a pipe as JSON.

    Raises:
        LimitError: if the child takes too long or dies.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _compute_and_exit(compute, writing, limits)
    os.close(writing)
    try:
        content = _read_all(reading, limits)
    finally:
        os.close(reading)
        # A child that has ended is a zombie until it is waited for, so its id cannot belong to another process yet.
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    try:
        return json.loads(content)
    # The child wrote nothing, or not all of it.
    except ValueError:
        raise LimitError(limits.died) from None


def _read_all(pipe: int, limits: Limits) -> bytes:
    deadline = time.monotonic() + limits.seconds
    content = bytearray()
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not waiting.poll(1000 * left):
            raise LimitError(limits.too_slow)
        part = os.read(pipe, 1 << 20)
        if not part:
            return bytes(content)
        content += part


def _compute_and_exit(compute: Callable[[], Any], pipe: int, limits: Limits) -> None:
    """Compute in the child, and end it without the exit handlers and unwritten output of its parent."""
    try:
        # The parent's garbage is not the child's to collect, because it may hold an accelerator's memory.
        gc.disable()
        _limit(limits)
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(compute()).encode("utf-8"))
    finally:
        os._exit(0)


def _limit(limits: Limits) -> None:
    """Set limits that hold even if the parent is killed and cannot end its child."""
    processor_seconds = int(limits.seconds) + 1
    # A child that is killed for its limits must not leave a core file of the parent's size.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds))
    # The fork starts with all memory of its parent, which counts, so the limit is set above what is in use now.
    pages = Path("/proc/self/statm")
    if pages.exists():
        used = int(pages.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = used + limits.memory_bytes
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
