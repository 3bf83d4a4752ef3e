"""Run ``slr.experiments.decoding_methods``; see ``--help``."""

from slr.experiments.decoding_methods import main

if __name__ == "__main__":
    raise SystemExit(main())
