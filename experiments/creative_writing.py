"""Run ``slr run creative_writing``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "creative_writing", *sys.argv[1:]]))
