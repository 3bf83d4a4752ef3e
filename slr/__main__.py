"""Run the command line as ``python -m slr``."""

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
