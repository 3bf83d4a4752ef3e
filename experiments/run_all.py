"""Every experiment, then every figure and table: the one command that reproduces the results."""

from __future__ import annotations

import sys
from pathlib import Path

import canonicalise
import crc_search
import creative_writing
import decoding_methods
import judge
import open_qa
import prompting_methods
import quality
import reasoning
import restoration_controls

from slr.experiment_script import MakeExperiment, run_script
from slr.stopping import run_child

EXPERIMENTS = [
    crc_search.experiment,
    creative_writing.experiment,
    open_qa.experiment,
    reasoning.experiment,
    restoration_controls.experiment,
    decoding_methods.experiment,
    prompting_methods.experiment,
    quality.experiment,
]
MAKE_ALL = Path(__file__).resolve().parent.parent / "analysis" / "make_all.py"


def draw(results_dir: Path, figures_dir: Path) -> int:
    """Make figures and tables from the records, in a process of its own, as anyone can do later."""
    if not MAKE_ALL.exists():
        print(f"nothing is drawn: there is no {MAKE_ALL.parent.name}/{MAKE_ALL.name}", file=sys.stderr)
        return 1
    command = [sys.executable, str(MAKE_ALL), "--results-dir", str(results_dir)]
    return run_child([*command, "--output-dir", str(figures_dir)])


def by_endpoints() -> list[MakeExperiment]:
    """The experiments that ask a chat endpoint, if the environment describes one."""
    if not judge.configured():
        print(
            "no judge: set SLR_JUDGE_BASE_URL and SLR_JUDGE_MODEL to have one; see docs/judge.md",
            file=sys.stderr,
        )
    return [*judge.configured(), *canonicalise.configured()]


def main(argv: list[str] | None = None) -> int:
    """Run everything; see ``--help``."""
    return run_script(str(__doc__), [*EXPERIMENTS, *by_endpoints()], argv, draw)


if __name__ == "__main__":
    raise SystemExit(main())
