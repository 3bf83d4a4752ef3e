"""Run ``slr.experiments.crc_search``; see ``--help``."""

from slr.experiments.crc_search import main

if __name__ == "__main__":
    raise SystemExit(main())
