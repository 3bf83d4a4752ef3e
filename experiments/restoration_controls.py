"""Run ``slr run restoration_controls``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "restoration_controls", *sys.argv[1:]]))
