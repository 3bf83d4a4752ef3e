"""Run ``slr.experiments.run_all``; see ``--help``."""

from slr.experiments.run_all import main

if __name__ == "__main__":
    raise SystemExit(main())
