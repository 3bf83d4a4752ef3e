"""The cost of scoring every interval."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.runs.records import SearchCost, SearchMethod

NAMES: dict[SearchMethod, str] = {
    "shared": "shared search",
    "loop": "loop",
    "one_pass": "several alphas, one pass",
    "one_by_one": "several alphas, a search each",
}


def search_cost(results: Results) -> Table:
    """Make a row for each pair and method. The ratio is in the row of the shared search."""
    costs = results.search_costs
    loops = {_circumstances(cost): cost for cost in costs if cost.method == "loop"}
    return Table(
        "Cost of scoring every interval by the shared search and, where it was measured, by the plain loop over an "
        "even sample of the hybrids. Both ran on the same machine in one run. The ratio is of seconds for each "
        "interval. Tokens are summed over layer evaluations.",
        (
            "pair",
            "method",
            "layers",
            "intervals",
            "prompts",
            "seconds",
            "times faster than the loop",
            "layer evaluations",
            "tokens computed",
            "peak memory (MB)",
            "dtype",
            "device",
        ),
        tuple(_cost_row(cost, loops.get(_circumstances(cost))) for cost in _shared_first(costs)),
    )


def _shared_first(costs: Sequence[SearchCost]) -> list[SearchCost]:
    """The costs, with each pair's shared search before its loop."""
    pairs = list(dict.fromkeys(cost.pair for cost in costs))
    # Pairs keep the order in which they occur.
    return sorted(costs, key=lambda cost: (pairs.index(cost.pair), cost.method == "loop"))


def _circumstances(cost: SearchCost) -> tuple[object, ...]:
    """What two costs must have in common to be compared."""
    return cost.experiment, cost.pair, cost.num_prompts, cost.dtype, cost.threads, cost.provenance.device


def _cost_row(cost: SearchCost, loop: SearchCost | None) -> tuple[Cell, ...]:
    return (
        cost.pair,
        NAMES[cost.method],
        cost.num_layers,
        cost.num_intervals,
        cost.num_prompts,
        cost.seconds,
        loop.seconds_per_interval / cost.seconds_per_interval if loop and cost.method == "shared" else None,
        cost.layer_evaluations,
        cost.tokens_computed,
        round(cost.peak_memory_bytes / 1e6) if cost.peak_memory_bytes else None,
        cost.dtype,
        cost.provenance.device,
    )
