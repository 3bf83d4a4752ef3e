"""The command line ``slr``, a module for each command. Heavy packages load when a command runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from slr.cli import build, dashboard, figures, run, score, search
from slr.terminal.command_line import make_app, run_app

app = make_app("slr", "Selective Layer Restoration: give a post-trained language model its diversity back.")
app.command(epilog=search.EXAMPLE)(search.search)
app.command(epilog=build.EXAMPLE)(build.build)
app.command(epilog=score.EXAMPLE)(score.score)
app.command(epilog=run.EXAMPLE)(run.run)
app.command(epilog=figures.EXAMPLE)(figures.figures)
app.command(epilog=dashboard.EXAMPLE)(dashboard.dashboard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, which ``slr.terminal.command_line`` explains.

    Args:
        arguments: such as ``["run", "all", "--smoke"]``; by default the process's.
    """
    # Imports make hundreds of thousands of objects that stay; to look for garbage among them every 700 takes a second.
    gc.set_threshold(100_000, 10, 10)
    return run_app(app, (sys.argv[1:] if arguments is None else arguments) or ["--help"])
