"""Run ``slr.experiments.open_qa``; see ``--help``."""

from slr.experiments.open_qa import main

if __name__ == "__main__":
    raise SystemExit(main())
