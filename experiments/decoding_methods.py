"""Run ``slr run decoding_methods``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "decoding_methods", *sys.argv[1:]]))
