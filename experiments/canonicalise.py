"""Run ``slr run canonicalise``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "canonicalise", *sys.argv[1:]]))
