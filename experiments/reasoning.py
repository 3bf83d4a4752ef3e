"""Run ``slr run reasoning``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "reasoning", *sys.argv[1:]]))
