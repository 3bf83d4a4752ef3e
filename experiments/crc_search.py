"""Run ``slr run crc_search``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "crc_search", *sys.argv[1:]]))
