"""Two experiments by one of several launched processes, perhaps with a misfortune.

``python launched_run.py PAIR_DIRECTORY none|failing|slow OPTIONS...``
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

import slr.crc.search
import slr.hybrid
from slr.cli import execute
from slr.runs.records import AnyRecord
from slr.runs.results_store import ResultsStore
from tests.programs.tiny_preset import use_tiny_preset

append = ResultsStore.append
search = slr.crc.search.iter_search


def fail(*_: object) -> None:
    raise RuntimeError("broken")


def late_search(*arguments: Any, **named: Any) -> Any:
    """So that this process begins its share of the soups after the other one has failed."""
    time.sleep(3)
    return search(*arguments, **named)


def append_and_rest(store: ResultsStore, records: Iterable[AnyRecord]) -> None:
    append(store, records)
    time.sleep(0.5)


def meet_with(misfortune: str) -> None:
    """Have it happen in this process."""
    if misfortune == "failing" and os.environ["RANK"] == "1":
        slr.hybrid.interpolate = fail  # pyright: ignore[reportAttributeAccessIssue]
    if misfortune == "failing" and os.environ["RANK"] == "0":
        slr.crc.search.iter_search = late_search
    if misfortune == "slow":
        ResultsStore.append = append_and_rest  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    directory, misfortune, *options = sys.argv[1:]
    use_tiny_preset(directory)
    meet_with(misfortune)
    sys.exit(execute(["run", "open_qa", *options]))
