"""Run ``slr run crc_search``, with the same options; see ``--help``."""

import sys

from slr.cli import execute

if __name__ == "__main__":
    raise SystemExit(execute(["run", "crc_search", *sys.argv[1:]]))
