"""Run ``slr run reasoning``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "reasoning", *sys.argv[1:]]))
