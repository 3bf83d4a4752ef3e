"""Run ``slr dashboard``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["dashboard", *sys.argv[1:]]))
