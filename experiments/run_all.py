"""Every experiment, then every figure and table: the one command that reproduces the results."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

# Runs as a script, so its own directory is on the path, and as a module of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import crc_search

from slr.experiment_script import run_script

EXPERIMENTS = [crc_search.experiment]
MAKE_ALL = Path(__file__).resolve().parent.parent / "analysis" / "make_all.py"


def draw(options: argparse.Namespace) -> int:
    """Make figures and tables from the records, in a process of its own, as anyone can do later."""
    command = [sys.executable, str(MAKE_ALL), "--results-dir", str(options.output_dir)]
    return subprocess.run([*command, "--output-dir", str(options.figures_dir)], check=False).returncode


def main(argv: list[str] | None = None) -> int:
    """Run everything; see ``--help``."""
    return run_script(str(__doc__), EXPERIMENTS, argv, afterwards=draw)


if __name__ == "__main__":
    raise SystemExit(main())
