"""A search that halts after a number of batches of records, and waits to be stopped there.

``python halted_search.py PAIR_DIRECTORY OUTPUT_DIRECTORY NUM_BATCHES``
"""

from __future__ import annotations

import signal
import sys

from slr.cli import main
from tests.programs.tiny_preset import halt_after, use_tiny_preset

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    pair_directory, output_dir, num_batches = sys.argv[1:]
    halt_after(int(num_batches))
    use_tiny_preset(pair_directory)
    sys.exit(main(["run", "crc_search", "--smoke", "--wandb", "disabled", "--output-dir", output_dir]))
