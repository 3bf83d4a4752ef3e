"""``slr figures``: draw every figure and table from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slr.cli.options import Publish, Quiet, Verbose, published_dir
from slr.models.presets import PRESETS
from slr.terminal.bad_input import check_environment, check_not_given
from slr.terminal.command_line import one_of
from slr.terminal.extras import check_installed
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import die_with_parent, say_when_stopped

EXAMPLE = "Example: slr figures --results-dir results/laptop"


def figures(
    results_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="records: a directory for each preset, or the *.jsonl files of one run"
        ),
    ] = Path("results"),
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="directory for figures, tables and the page that shows them; by default --results-dir",
        ),
    ] = None,
    publish: Publish = False,
    from_shipped: Annotated[
        bool,
        typer.Option(
            "--from-shipped",
            help="first unpack the records behind the published figures, from a checkout's paper_figures, into "
            "shipped/ in --results-dir",
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(parser=one_of(PRESETS), metavar="|".join(PRESETS), help="draw this preset only"),
    ] = None,
    wandb: Annotated[
        str | None,
        typer.Option(
            metavar="ENTITY/PROJECT",
            help="first fetch the records of this W&B project into from_wandb/ in --results-dir",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Draw every figure and table from records alone.

    Every preset that has records is drawn; no model is needed. A figure or table without records is a gap that
    names the command to run. The files are replaced together at the end: all of them are new, or none is.
    """
    set_verbosity(quiet, verbose)
    # `slr run all` starts this command as a child, which must end if `slr run all` is killed.
    die_with_parent()
    say_when_stopped("records and figures are as they were, the same command draws anew")
    check_environment(uses_wandb=wandb is not None)
    if publish:
        others = {"--output-dir": output_dir, "--wandb": wandb, "--from-shipped": from_shipped}
        check_not_given("--publish", others)
        output_dir = published_dir("--publish")
    if from_shipped:
        check_not_given("--from-shipped", {"--wandb": wandb})
    if wandb is not None:
        check_installed("wandb", "--wandb")

    sign_of_life(f"{results_dir}: reading the records ...")

    from slr.analysis.make_all import draw_all
    from slr.analysis.shipped_records import unpack_shipped

    if from_shipped:
        results_dir = unpack_shipped(published_dir("--from-shipped"), results_dir)
    draw_all(results_dir, output_dir, preset=preset, project=wandb, ships_records=publish)
    return 0
