"""Run ``slr.experiments.canonicalise``; see ``--help``."""

from slr.experiments.canonicalise import main

if __name__ == "__main__":
    raise SystemExit(main())
