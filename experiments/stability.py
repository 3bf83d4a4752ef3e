"""Run ``slr run stability``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "stability", *sys.argv[1:]]))
