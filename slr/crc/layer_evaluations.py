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


def group_starts(num_layers: int, starts: Sequence[int], num_affordable_states: int) -> list[list[int]]:
    """Split rising starts into runs that are walked together, as many starts in each as fit.

    Args:
        num_layers: number of decoder layers of the models.
        starts: start layers in rising order.
        num_affordable_states: number of states, besides the prefix, that can be held for each stack.
    """
    runs: list[list[int]] = []
    left = 0
    for start in starts:
        # At the end of a walk, every interval that begins at the start has a state of its own.
        states = num_layers - start
        if states > left:
            runs.append([])
            left = num_affordable_states
        runs[-1].append(start)
        left -= states
    return runs


def states_at_layers(num_layers: int, starts: Sequence[int], first: int) -> list[int]:
    """Count the states that pass each layer when starts are walked together with one stack.

    Args:
        num_layers: number of decoder layers of the models.
        starts: start layers in rising order.
        first: layer at which the walk begins, where the prefix has come to.

    Returns:
        The number of states at the layers from ``first`` on. One of them is the prefix, before the last start.
    """
    return [
        sum(layer - start + 1 for start in starts if start <= layer) + (layer < starts[-1])
        for layer in range(first, num_layers)
    ]
