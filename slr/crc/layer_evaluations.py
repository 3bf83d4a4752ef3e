"""How much work a search is: for estimates, which need no model and not even torch."""

from __future__ import annotations

from collections.abc import Sequence


def count_layer_evaluations(num_layers: int, starts: Sequence[int] | None = None) -> int:
    """Layer evaluations of a search over the given start layers (by default all of them).

    A start at s costs, with r = num_layers - s layers to go, r evaluations of base layers and r (r - 1) / 2
    of instruct layers; the prefix costs one evaluation a layer up to the last start.
    """
    starts = range(num_layers) if starts is None else starts
    remaining = [num_layers - start for start in starts]
    return sum(r + r * (r - 1) // 2 for r in remaining) + max(starts, default=0)
