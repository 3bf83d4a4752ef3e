"""All experiments on a tiny pair: ``tiny_run_all.py PAIR_DIRECTORY OPTIONS...``."""

from __future__ import annotations

import signal
import sys

from slr.cli import main
from tests.programs.tiny_preset import use_tiny_preset

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    directory, *options = sys.argv[1:]
    use_tiny_preset(directory)
    sys.exit(main(["run", "all", *options]))
