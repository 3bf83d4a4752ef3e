"""Run ``slr run open_qa``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "open_qa", *sys.argv[1:]]))
