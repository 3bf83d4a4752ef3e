"""What ``slr search --dry-run`` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from slr.terminal.progress import format_seconds
from slr.terminal.tables import print_sentence, print_table

if TYPE_CHECKING:
    from slr.crc.search_plan import SearchPlan


def print_estimate(plan: SearchPlan, device: str, as_json: bool) -> None:
    """Print what a search takes.

    Args:
        plan: the estimate.
        device: name of the device.
        as_json: whether to print JSON, and nothing else.
    """
    if as_json:
        print(json.dumps(plan.as_json(), indent=1))
        return
    gigabytes = {
        "memory, models": plan.model_bytes,
        "memory, hidden states": plan.state_bytes,
        "memory, needed": plan.needed_bytes,
        "memory, free": plan.free_bytes,
        "download": plan.download_bytes,
    }
    alphas = f" at {plan.num_alphas} alphas" if plan.num_alphas > 1 else ""
    rows = [
        ("layers", f"{plan.num_layers:,}"),
        ("intervals", f"{plan.num_intervals:,}{alphas}"),
        ("cells to do", f"{plan.num_cells_to_do}"),
        ("evaluations of a layer", f"{plan.layer_evaluations:,}"),
        ("tokens in each", f"{plan.tree_tokens:,}"),
        (f"time on {device}", format_seconds(plan.seconds)),
        *((what, f"{count / 1e9:,.2f} GB") for what, count in gigabytes.items()),
    ]
    print_table(("estimate", plan.pair), rows)
    print()
    if plan.is_streamed:
        print_sentence(
            "The models stay on disk, and each layer is read when it is needed. That takes longer."
        )
    elif plan.needed_bytes > plan.free_bytes:
        print_sentence("There is too little memory: take another device, or a smaller dtype, or --stream.")
    print_sentence(
        "The time follows from a matrix product measured now. Loading the models and a busy machine add to it."
    )
