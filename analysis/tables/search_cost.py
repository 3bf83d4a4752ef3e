"""What scoring every interval cost."""

from __future__ import annotations

from analysis.load_results import Results
from analysis.tables.table import Cell, Table
from slr.records import SearchCost


def search_cost(results: Results) -> Table:
    """A row a pair and method; the ratio stands with the shared search."""
    costs = results.search_costs
    loops = {cost.pair: cost for cost in costs if cost.method == "loop"}
    return Table(
        "search_cost",
        "Cost of scoring every interval: the shared search, and where it was measured the plain loop over "
        "hybrids, on the same machine in one run. Tokens are summed over layer evaluations.",
        (
            "pair",
            "method",
            "layers",
            "intervals",
            "prompts",
            "seconds",
            "loop's seconds / these",
            "layer evaluations",
            "tokens computed",
            "peak memory (MB)",
            "dtype",
            "device",
        ),
        tuple(_cost_row(cost, loops.get(cost.pair)) for cost in costs),
    )


def _cost_row(cost: SearchCost, loop: SearchCost | None) -> tuple[Cell, ...]:
    return (
        cost.pair,
        "shared search" if cost.method == "shared" else "loop",
        cost.num_layers,
        cost.num_intervals,
        cost.num_prompts,
        cost.seconds,
        loop.seconds / cost.seconds if loop and cost.method == "shared" else None,
        cost.layer_evaluations,
        cost.tokens_computed,
        round(cost.peak_memory_bytes / 1e6) if cost.peak_memory_bytes else None,
        cost.dtype,
        cost.provenance.device,
    )
