"""Run ``slr.experiments.judge``; see ``--help``."""

from slr.experiments.judge import main

if __name__ == "__main__":
    raise SystemExit(main())
