"""Run ``slr.experiments.prompting_methods``; see ``--help``."""

from slr.experiments.prompting_methods import main

if __name__ == "__main__":
    raise SystemExit(main())
