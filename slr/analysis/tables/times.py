"""The time that the cells took, next to its estimate."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.runs.cell_times import MeasuredCell, measured_cells
from slr.runs.speed import KNOWN_SPEEDS, DeviceSpeed


def times(results: Results) -> Table:
    """Make a row for each experiment, device and number of processes."""
    groups: dict[tuple[str, str, int], list[MeasuredCell]] = {}
    for (experiment, _), cell in measured_cells(results.records).items():
        groups.setdefault((experiment, cell.device, cell.work.processes), []).append(cell)
    return Table(
        "Seconds that the cells took, next to the estimate by the known speed of a CPU or GPU. Both are sums over the "
        "processes. A cell without an estimate is left out, as is one that was begun before records held times.",
        (
            "experiment",
            "device",
            "processes",
            "cells",
            "estimated seconds",
            "measured seconds",
            "measured / estimated",
        ),
        tuple((*key, *_compared(cells, _speed_of(key[1]))) for key, cells in groups.items()),
    )


def _speed_of(device: str) -> DeviceSpeed:
    return KNOWN_SPEEDS["cpu" if device.startswith("CPU") else "cuda"]


def _compared(cells: Sequence[MeasuredCell], speed: DeviceSpeed) -> tuple[Cell, ...]:
    both = [(speed.seconds(cell.work), cell.seconds) for cell in cells]
    known = [(estimate, seconds) for estimate, seconds in both if estimate is not None]
    estimated, measured = (sum(column) for column in zip(*known, strict=True)) if known else (0.0, 0.0)
    return len(known), estimated, measured, measured / estimated if estimated else None
