"""Run ``slr run canonicalise``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "canonicalise", *sys.argv[1:]]))
