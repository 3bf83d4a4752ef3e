"""Run the command line as ``python -m slr.cli``, because some launchers take a module and no program."""

from slr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
