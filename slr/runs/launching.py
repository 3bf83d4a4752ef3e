"""Start the processes of this machine that share the work of one command.

``accelerate launch`` and torchrun do the same for GPUs and several machines. This needs no launcher, and keeps the
command's exit status and its end by Ctrl-C.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from slr.terminal.stopping import run_children


def num_cores() -> int:
    """Count the CPU cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_processes(command: Sequence[str], count: int) -> int:
    """Run a command in several processes that share its work; see ``processes``.

    Every process gets its part of the CPU cores, unless OMP_NUM_THREADS is set. The processes find each other by a
    port of this machine that is free now.

    Args:
        command: program and arguments, the same for all.
        count: number of processes.

    Returns:
        The exit status of the first process that failed; 0 if none did.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shared = {
        "OMP_NUM_THREADS": str(max(1, num_cores() // count)),
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return run_children(
        command, [{**shared, "RANK": str(index), "LOCAL_RANK": str(index)} for index in range(count)]
    )
