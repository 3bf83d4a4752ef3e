"""Run ``slr.experiments.reasoning``; see ``--help``."""

from slr.experiments.reasoning import main

if __name__ == "__main__":
    raise SystemExit(main())
