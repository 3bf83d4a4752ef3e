"""Run ``slr dashboard``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["dashboard", *sys.argv[1:]]))
