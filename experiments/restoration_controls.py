"""Run ``slr run restoration_controls``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "restoration_controls", *sys.argv[1:]]))
