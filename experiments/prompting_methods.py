"""Run ``slr run prompting_methods``; the options are the same."""

import sys

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", "prompting_methods", *sys.argv[1:]]))
