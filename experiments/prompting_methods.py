"""Run ``slr run prompting_methods``, with the same options; see ``--help``."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "prompting_methods", *sys.argv[1:]]))
