"""Run ``slr run reasoning``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "reasoning", *sys.argv[1:]]))
