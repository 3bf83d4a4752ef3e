"""Run ``slr.experiments.restoration_controls``; see ``--help``."""

from slr.experiments.restoration_controls import main

if __name__ == "__main__":
    raise SystemExit(main())
