"""What a command costs that runs in a process of its own: seconds, and memory that is really its own. Linux only."""

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
NO_HUB = {"HF_HUB_OFFLINE": "1"}

_RSS_ANON = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ProcessCost:
    """Seconds until the process ended, and until all that was written was on the disk, by a sync after it.

    ``cpu_seconds`` are those that it computed for, by itself and in the kernel, whatever else was running.
    ``peak_memory_bytes`` is the most anonymous memory that it had at any of the moments at which it was
    looked at, every 5 ms: pages of files that are mapped or cached are the system's, and do not count.
    ``output`` is what it printed.
    """

    seconds: float
    cpu_seconds: float
    seconds_synced: float
    peak_memory_bytes: int
    output: str


def run_measured(command: Sequence[str | Path]) -> ProcessCost:
    """Run a command to its end; what was written before it is put on the disk first.

    Raises:
        RuntimeError: if it fails; the message has the end of what it printed.
    """
    os.sync()
    peak = 0
    cpu_before = _cpu_seconds_of_children()
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,  # a pipe would stop a talkative process
        subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, env={**os.environ, **NO_HUB}
        ) as process,
    ):
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = _RSS_ANON.search(status.read_text())
            peak = max(peak, 1024 * int(found[1]) if found else 0)  # one that has just ended has none
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
    """Of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
