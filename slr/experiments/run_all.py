"""Every experiment, then every figure and table: the one command that reproduces the results."""

from __future__ import annotations

import sys
from pathlib import Path

from slr.experiments import (
    canonicalise,
    crc_search,
    creative_writing,
    decoding_methods,
    judge,
    open_qa,
    prompting_methods,
    quality,
    reasoning,
    restoration_controls,
)
from slr.runs.script import MakeExperiment, run_script
from slr.terminal.stopping import run_child

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
DRAW = (sys.executable, "-P", "-m", "slr.analysis.make_all")


def draw(results_dir: Path, figures_dir: Path) -> int:
    """Make figures and tables from the records, in a process of its own, as anyone can do later."""
    return run_child([*DRAW, "--results-dir", str(results_dir), "--output-dir", str(figures_dir)])


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
