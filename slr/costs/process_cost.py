"""Time and memory that a command takes in its own process.

Memory is read from ``/proc``, so this works on Linux only.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.005
"""Seconds between two readings of the memory."""
NO_HUB = {"HF_HUB_OFFLINE": "1"}
"""Environment of a measured command, which must not wait for a network."""

_RSS_ANON = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ProcessCost:
    """Time and memory that a command took.

    Attributes:
        seconds: wall-clock seconds until the process ended.
        cpu_seconds: seconds of CPU time, in the process and in the kernel for it. A busy machine does not lengthen
            them.
        seconds_synced: wall-clock seconds until a sync after the process had brought everything to the disk.
        peak_memory_bytes: largest anonymous memory in bytes, of readings every 5 ms. Mapped or cached pages of files
            do not count, because they belong to the system.
        output: text that the command printed.
    """

    seconds: float
    cpu_seconds: float
    seconds_synced: float
    peak_memory_bytes: int
    output: str


def run_measured(command: Sequence[str | Path]) -> ProcessCost:
    """Run a command to its end and measure it.

    Raises:
        RuntimeError: if the command fails; the message has the end of its output.
    """
    # Data that earlier programs wrote would otherwise go to the disk in the command's time.
    os.sync()
    peak = 0
    cpu_before = _cpu_seconds_of_children()
    began = time.perf_counter()
    # The output goes to a file, because a full pipe would stop the process: nobody reads it meanwhile.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, env={**os.environ, **NO_HUB}
        ) as process,
    ):
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = _RSS_ANON.search(status.read_text(encoding="ascii"))
            # A process that has just ended has no memory, and the line is missing.
            peak = max(peak, 1024 * int(found[1]) if found else 0)
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - began
        cpu_seconds = _cpu_seconds_of_children() - cpu_before
        os.sync()
        seconds_synced = time.perf_counter() - began
        printed.seek(0)
        output = printed.read()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with status {process.returncode}: {output[-2000:]}")
    return ProcessCost(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_synced=seconds_synced,
        peak_memory_bytes=peak,
        output=output,
    )


def _cpu_seconds_of_children() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
