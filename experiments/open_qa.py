"""Run ``slr run open_qa``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "open_qa", *sys.argv[1:]]))
