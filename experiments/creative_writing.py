"""Run ``slr run creative_writing``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "creative_writing", *sys.argv[1:]]))
