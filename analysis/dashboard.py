"""Run ``slr dashboard``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["dashboard", *sys.argv[1:]]))
