"""What a mirror costs the work: ``python -m tests.programs.mirror_cost [--rounds 3] [--products 2000]``.

Two runs of the same cells, which multiply matrices, go on side by side: one without W&B, one online with a server that
answers until the run is open, and then never again. Printed are the ratio of their times from the first cell's begin to
the last one's end, the time between cells, and the processor time of the mirror and of W&B's client. The latter two do
not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from tests.kill_harness import MARK, ROOT, processes_with
from tests.wandb_server import Behaviour, WandbServer, wandb_server

NUM_CELLS = 12


def start(
    output_dir: Path, mode: str, num_products: int, environment: dict[str, str]
) -> subprocess.Popen[str]:
    """Start a run in one thread, which prints its time and the time between its cells."""
    words = [str(output_dir), mode, str(NUM_CELLS), "0", "--products", str(num_products), "--notice", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.programs.slow_run", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def processor_seconds(pid: int) -> float:
    """Processor time of a process in seconds; 0 if it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def measure(directory: Path, server: WandbServer, then: Behaviour, num_products: int) -> tuple[float, ...]:
    """Run both side by side.

    Args:
        directory: directory to write into.
        server: the stand-in for W&B's server.
        then: what it does once the run is open.
        num_products: number of products of a cell.

    Returns:
        The time without W&B in seconds, and the ratio of the times; the time between cells, without W&B and with it,
        and the processor time of the mirror, each as a share of its run's time.
    """
    token = secrets.token_hex(8)
    with_wandb = start(directory / "with", "online", num_products, {**server.environment, MARK: token})
    without = start(directory / "without", "disabled", num_products, {})
    spent: dict[int, float] = {}
    while with_wandb.poll() is None:
        for pid in processes_with(token):
            if pid != with_wandb.pid:
                spent[pid] = max(spent.get(pid, 0.0), processor_seconds(pid))
        if server.runs:
            server.behaviour = then
        time.sleep(0.5)
    seconds, between = map(float, with_wandb.communicate()[0].split())
    seconds_without, between_without = map(float, without.communicate()[0].split())
    return (
        seconds_without,
        seconds / seconds_without,
        between_without / seconds_without,
        between / seconds,
        sum(spent.values()) / seconds,
    )


def main() -> None:
    """Measure, and print a line for each round and the medians."""
    parser = argparse.ArgumentParser(prog="tests.programs.mirror_cost")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--server", choices=["works", "hangs", "fails"], default="hangs")
    given = parser.parse_args()
    print("seconds    with W&B / without    between cells: without    with    mirror's processor time")
    rounds: list[tuple[float, ...]] = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as scratch, wandb_server() as server:
            os.environ["HOME"] = scratch
            rounds.append(measure(Path(scratch), server, given.server, given.products))
        print("{:7.0f} {:21.3f} {:25.2%} {:10.2%} {:15.2%}".format(*rounds[-1]), flush=True)
    print(
        "{:7.0f} {:21.3f} {:25.2%} {:10.2%} {:15.2%}".format(*map(median, zip(*rounds, strict=True))),
        "  medians",
    )


if __name__ == "__main__":
    main()
