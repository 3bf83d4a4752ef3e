"""``slr figures``: make every figure and table from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slr.models.presets import PRESETS
from slr.terminal.bad_input import check_environment
from slr.terminal.command_line import one_of
from slr.terminal.extras import check_installed
from slr.terminal.stopping import die_with_parent, say_when_stopped

EXAMPLE = "Example: slr figures --results-dir results/laptop --output-dir figures"


def figures(
    results_dir: Annotated[
        Path,
        typer.Option(help="holds a directory of records for each preset, or the *.jsonl of one run"),
    ] = Path("results"),
    output_dir: Annotated[Path, typer.Option(help="figures, tables and the page go here")] = Path(
        "paper_figures"
    ),
    preset: Annotated[
        str | None,
        typer.Option(parser=one_of(PRESETS), metavar="|".join(PRESETS), help="only this one of those there"),
    ] = None,
    wandb: Annotated[
        str | None,
        typer.Option(
            metavar="ENTITY/PROJECT",
            help="fetch the records from this W&B project first, into from_wandb/ in --results-dir",
        ),
    ] = None,
) -> int:
    """Make every figure and table from records alone, for every preset that has records.

    It needs no model. What has not been measured is a gap that names the command to run. Either everything is new in
    the end, or nothing is.
    """
    die_with_parent()
    say_when_stopped("records and figures are as they were, the same command draws anew")
    check_environment(uses_wandb=wandb is not None)
    if wandb is not None:
        check_installed("wandb", "--wandb")

    from slr.analysis.make_all import draw_all

    draw_all(results_dir, output_dir, preset=preset, project=wandb)
    return 0
