"""Run ``slr run crc_search``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "crc_search", *sys.argv[1:]]))
