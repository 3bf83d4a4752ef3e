"""Run ``slr run all``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "all", *sys.argv[1:]]))
