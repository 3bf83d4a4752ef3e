"""``slr dashboard``: make the W&B workspace and report of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slr.terminal.extras import check_installed

EXAMPLE = "Example: slr dashboard --wandb my-team/slr"


def dashboard(
    wandb: Annotated[str, typer.Option(metavar="ENTITY/PROJECT", help="where the runs are")],
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the definition there; touch no network")
    ] = None,
) -> int:
    """Save a new view of the runs and a new report in Weights & Biases; delete older ones there."""
    check_installed("wandb_workspaces", "slr dashboard")

    from slr.analysis.dashboard import save_dashboard

    save_dashboard(wandb, json)
    return 0
