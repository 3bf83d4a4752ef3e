"""Run ``slr.analysis.make_all``; see ``--help``."""

from slr.analysis.make_all import main

if __name__ == "__main__":
    raise SystemExit(main())
