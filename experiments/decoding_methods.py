"""Run ``slr run decoding_methods``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "decoding_methods", *sys.argv[1:]]))
