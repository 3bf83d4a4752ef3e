"""Run the command line as ``python -m slr.cli``, which launchers that take a module need."""

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
