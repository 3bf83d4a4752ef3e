"""Run ``slr run quality``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "quality", *sys.argv[1:]]))
