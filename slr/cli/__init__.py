"""The command line ``slr``, with a module for each command.

A command imports heavy packages when it runs, so help and errors in the arguments appear at once.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from slr.cli import build, calibrate, dashboard, figures, plugins, run, sample, score, search, show
from slr.terminal.command_line import make_app, run_app

app = make_app("slr")
app.command(epilog=search.EXAMPLE)(search.search)
app.command(epilog=show.EXAMPLE)(show.show)
app.command(epilog=sample.EXAMPLE)(sample.sample)
app.command(epilog=build.EXAMPLE)(build.build)
app.command(epilog=score.EXAMPLE)(score.score)
app.command(epilog=run.EXAMPLE)(run.run)
app.command(epilog=figures.EXAMPLE)(figures.figures)
app.command(epilog=calibrate.EXAMPLE)(calibrate.calibrate)
app.command(epilog=dashboard.EXAMPLE)(dashboard.dashboard)
app.command(epilog=plugins.EXAMPLE)(plugins.plugins)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"slr {metadata.version('slr')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="print the version, and end"),
    ] = False,
) -> None:
    """Selective Layer Restoration: give a post-trained language model its diversity back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, which ``slr.terminal.command_line`` explains.

    Args:
        arguments: command line without the program's name, such as ``["run", "all", "--smoke"]``; by default
            the process's.
    """
    # The imports make hundreds of thousands of objects that stay. By default Python looks for garbage after every 700
    # of them, which takes a second in all.
    gc.set_threshold(100_000, 10, 10)
    return run_app(app, (sys.argv[1:] if arguments is None else arguments) or ["--help"])
