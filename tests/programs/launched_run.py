"""Two experiments by one of several launched processes, perhaps with a misfortune.

``python launched_run.py PAIR_DIRECTORY none|failing|halting OUTPUT_DIRECTORY OPTIONS...``
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import slr.crc.search
import slr.hybrid
from slr.cli import main
from tests.programs.tiny_preset import halt_after, use_tiny_preset

SECONDS_TO_FAIL = 120
BATCHES_BEFORE_HALT = 3

search = slr.crc.search.iter_search


def fail(*_: object) -> None:
    raise RuntimeError("broken")


def meet_with(misfortune: str, output_dir: Path) -> None:
    """Have it happen in this process."""

    def late_search(*arguments: Any, **named: Any) -> Any:
        """So that this process begins its share of the soups after the other one has failed."""
        wait_for_failure(output_dir / "crc_search.rank1.jsonl")
        return search(*arguments, **named)

    if misfortune == "failing" and os.environ["RANK"] == "1":
        slr.hybrid.interpolate = fail  # pyright: ignore[reportAttributeAccessIssue]
    if misfortune == "failing" and os.environ["RANK"] == "0":
        slr.crc.search.iter_search = late_search
    if misfortune == "halting":
        halt_after(BATCHES_BEFORE_HALT)


def wait_for_failure(records: Path) -> None:
    """Return when the other process has recorded that a cell failed."""
    deadline = time.monotonic() + SECONDS_TO_FAIL
    while not (records.exists() and b'"kind":"failure"' in records.read_bytes()):
        assert time.monotonic() < deadline, "the other process did not fail"
        time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    directory, misfortune, output_dir, *options = sys.argv[1:]
    use_tiny_preset(directory)
    meet_with(misfortune, Path(output_dir))
    sys.exit(main(["run", "open_qa", "--output-dir", output_dir, *options]))
