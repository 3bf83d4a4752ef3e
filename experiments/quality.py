"""Run ``slr.experiments.quality``; see ``--help``."""

from slr.experiments.quality import main

if __name__ == "__main__":
    raise SystemExit(main())
