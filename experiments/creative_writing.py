"""Run ``slr.experiments.creative_writing``; see ``--help``."""

from slr.experiments.creative_writing import main

if __name__ == "__main__":
    raise SystemExit(main())
