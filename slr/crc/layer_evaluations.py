"""How much work a search is. The estimate needs no model, and not even torch."""

from __future__ import annotations

from collections.abc import Sequence


def count_layer_evaluations(num_layers: int, starts: Sequence[int] | None = None, num_stacks: int = 1) -> int:
    """Count how often a hidden state passes a layer in a search.

    A start at layer s with r = num_layers - s layers to go costs r evaluations of each stack's layers, and r (r - 1) /
    2 of instruct layers for the intervals of each stack. The prefix, which all stacks share, costs one evaluation for
    each layer up to the last start.

    Args:
        num_layers: number of decoder layers of the models.
        starts: start layers to search over; all of them by default.
        num_stacks: number of stacks of restored layers that are searched in one pass.
    """
    starts = range(num_layers) if starts is None else starts
    remaining = [num_layers - start for start in starts]
    return num_stacks * sum(r + r * (r - 1) // 2 for r in remaining) + max(starts, default=0)
