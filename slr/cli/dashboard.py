"""``slr dashboard``: save the W&B workspace and report of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slr.cli.options import Quiet, Verbose
from slr.terminal.extras import check_installed
from slr.terminal.notices import set_verbosity

EXAMPLE = "Example: slr dashboard --wandb my-team/slr"


def dashboard(
    wandb: Annotated[str, typer.Option(metavar="ENTITY/PROJECT", help="W&B project that has the runs")],
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the definition to this file instead; touch no network"),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Save a new view and a new report of the runs in W&B.

    Earlier views and reports stay there. Delete them in W&B if you no longer need them.
    """
    set_verbosity(quiet, verbose)
    check_installed("wandb_workspaces", "slr dashboard")

    from slr.analysis.dashboard import save_dashboard

    save_dashboard(wandb, json)
    return 0
