"""Run ``slr run prediction``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "prediction", *sys.argv[1:]]))
