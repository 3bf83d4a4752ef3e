"""Run ``slr run all``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "all", *sys.argv[1:]]))
