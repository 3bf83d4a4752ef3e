"""How long each cell really took, by the times in its records, next to its estimate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slr.runs.records import AnyRecord, CellTime, Failure
from slr.runs.run_progress import CellId


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    """A cell whose time is on record.

    Attributes:
        seconds: wall time in seconds, summed over all processes and over the runs that did parts of the cell.
        device: the devices in words, separated by semicolons.
        work: the estimate of its work, with the number of processes that shared the latest run.
    """

    seconds: float
    device: str
    work: CellTime


def measured_cells(records: Iterable[AnyRecord]) -> dict[CellId, MeasuredCell]:
    """Add up the time of each cell.

    A cell is left out if a part of it has no time, because an earlier version made that part or because the cell
    failed. A cell under way counts with the time so far.

    Args:
        records: records that count, of any number of experiments.

    Returns:
        The cells by experiment and key.
    """
    by_cell: dict[CellId, list[AnyRecord]] = {}
    for record in records:
        by_cell.setdefault((record.experiment, record.provenance.cell), []).append(record)
    found = {cell: _measured(of_cell) for cell, of_cell in by_cell.items()}
    return {cell: measured for cell, measured in found.items() if measured is not None}


def _measured(records: Sequence[AnyRecord]) -> MeasuredCell | None:
    if any(isinstance(record, Failure) for record in records):
        return None
    sources = sorted((record.provenance for record in records), key=lambda source: source.created_at)
    times = [source.took for source in sources if source.took is not None]
    # All records that a process makes of a cell in one run have one time of creation.
    timed = {source.created_at for source in sources if source.took is not None}
    if not times or any(source.created_at not in timed for source in sources):
        return None
    return MeasuredCell(
        seconds=sum(took.seconds for took in times),
        device="; ".join(dict.fromkeys(source.device for source in sources)),
        work=times[-1],
    )
