"""Run ``slr.analysis.dashboard``; see ``--help``."""

from slr.analysis.dashboard import main

if __name__ == "__main__":
    raise SystemExit(main())
