"""Run ``slr run localisation``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "localisation", *sys.argv[1:]]))
