"""A search that rests after every batch of records, so that there is time to be stopped in.

``python slow_search.py PAIR_DIRECTORY OUTPUT_DIRECTORY``
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable

from slr.cli import execute
from slr.runs.records import AnyRecord
from slr.runs.results_store import ResultsStore
from tests.programs.tiny_preset import use_tiny_preset

SECONDS_TO_REST = 0.3

append = ResultsStore.append


def append_and_rest(store: ResultsStore, records: Iterable[AnyRecord]) -> None:
    append(store, records)
    time.sleep(SECONDS_TO_REST)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    pair_directory, output_dir = sys.argv[1:]
    ResultsStore.append = append_and_rest  # pyright: ignore[reportAttributeAccessIssue]
    use_tiny_preset(pair_directory)
    sys.exit(execute(["run", "crc_search", "--smoke", "--wandb", "disabled", "--output-dir", output_dir]))
