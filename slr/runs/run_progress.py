"""The progress of a whole run: its place among all cells of all pairs, and the time that is left.

Each cell counts as much as its estimated time. Cells that were done before count as cells, but not as work, because
they say nothing about the speed of this run.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from slr.runs.speed import device_speed
from slr.terminal.progress import OnProgress, OnWork, work_bar

if TYPE_CHECKING:
    from slr.runs.experiment import Cell, Cost

CellId = tuple[str, str]
"""Name of an experiment, and key of one of its cells, which begins with the pair's name."""

LEAST_SECONDS = 1.0
"""Seconds that a cell counts at least. Some have no FLOP to estimate, and yet take a while to measure texts."""
FLOPS_OF_A_TOKEN = 2e7
"""Floating-point operations assumed for a token where a model's size is not known; it is a layer's of 10 million."""
MOST_OF_A_CELL = 0.99
"""Largest share of a cell that counts before the cell has ended, whatever it reports."""


@dataclass(frozen=True, kw_only=True)
class EndedCell:
    """A cell that has ended, and the progress of the whole run at that moment.

    Attributes:
        experiment: name of the experiment.
        cell: key of the cell.
        began_at: date and time (UTC) at which the cell began; None if another process ran it.
        seconds: wall time of the cell in seconds; None if another process ran it.
        cells_done: number of cells of all pairs that are done.
        cells: number of cells of all pairs.
        seconds_left: estimate of the seconds until all cells are done; None while it is not known.
    """

    experiment: str
    cell: str
    began_at: str | None
    seconds: float | None
    cells_done: int
    cells: int
    seconds_left: float | None


class CellWatch(Protocol):
    """Gets to know when cells begin and end. It must return at once."""

    def cell_began(self) -> None:
        """A cell begins."""

    def cell_ended(self, ended: EndedCell) -> None:
        """A cell has ended."""


class RunProgress:
    """Counts cells and their work, and shows both."""

    def __init__(self, device: str, show: OnWork, watch: CellWatch | None = None) -> None:
        """Begin without any cell.

        Args:
            device: device of the run, as torch names it.
            show: shows a description, the work done and all work.
            watch: gets to know when cells begin and end.
        """
        self._speed = device_speed(device.split(":")[0])
        self._show = show
        self._watch = watch
        self._began = time.monotonic()
        self._beginnings: dict[CellId, tuple[float, datetime]] = {}
        self._work: dict[CellId, float] = {}
        self._ended: set[CellId] = set()
        self._shares_done: dict[CellId, float] = {}
        self._done = 0.0
        self._all = 0.0

    def expect(self, experiment: str, cells: Iterable[Cell]) -> None:
        """Add cells of an experiment, unless they are known."""
        for cell in cells:
            if (experiment, cell.key) not in self._work:
                self._work[experiment, cell.key] = work = self._seconds(cell.cost)
                self._all += work

    def skip(self, cells: Iterable[CellId]) -> None:
        """Count cells as done before, or as never to be done."""
        for cell in cells:
            if cell not in self._ended:
                self._ended.add(cell)
                self._all -= self._work[cell]

    def skip_pair(self, pair: str) -> None:
        """Skip all cells of a pair that cannot be used."""
        self.skip([cell for cell in self._work if cell[1].startswith(f"{pair}/")])

    def seconds_of(self, cell: CellId) -> float:
        """Estimated seconds of a cell, and at least ``LEAST_SECONDS``."""
        return self._work[cell]

    def within(self, cell: CellId, share: float = 1.0) -> OnProgress:
        """The callback to which a cell that begins now reports its own progress.

        Args:
            cell: the cell.
            share: share of the cell that is done now, by its time; 1 if it is not divided.
        """
        self._beginnings[cell] = time.monotonic(), datetime.now(UTC)
        if self._watch is not None:
            self._watch.cell_began()

        def on_progress(done: float, total: float) -> None:
            of_cell = share * min(done / total, MOST_OF_A_CELL)
            self._show(self._describe(cell), self._done + self._work[cell] * of_cell, self._all)

        return on_progress

    def finish_part(self, cell: CellId, share: float) -> None:
        """Count a part of a cell, of which other parts may not be done yet.

        Args:
            cell: the cell.
            share: the part's share of the cell.
        """
        # The cell ends when all processes have done their parts, so this process cannot say how long it takes.
        self._beginnings.pop(cell)
        self._shares_done[cell] = self._shares_done.get(cell, 0.0) + share
        self._done += self._work[cell] * share
        self._show(self._describe(cell), self._done, self._all)

    def finish(self, cell: CellId) -> None:
        """Count the whole cell, also if it reported less."""
        if cell not in self._ended:
            self._ended.add(cell)
            self._done += self._work[cell] * (1 - self._shares_done.pop(cell, 0.0))
        is_over = len(self._ended) == len(self._work)
        # Sums of fractions may miss the total by a hair.
        self._show(self._describe(cell), self._all if is_over else self._done, self._all)
        if self._watch is not None:
            self._watch.cell_ended(self._ended_cell(cell))

    def _ended_cell(self, cell: CellId) -> EndedCell:
        now = time.monotonic()
        began, began_at = self._beginnings.get(cell, (None, None))
        work_left = self._all - self._done
        return EndedCell(
            experiment=cell[0],
            cell=cell[1],
            # Records say the time in whole seconds too, and are compared with this.
            began_at=None if began_at is None else began_at.isoformat(timespec="seconds"),
            seconds=None if began is None else now - began,
            cells_done=len(self._ended),
            cells=len(self._work),
            seconds_left=(now - self._began) * work_left / self._done if self._done else None,
        )

    def _describe(self, cell: CellId) -> str:
        number = min(len(self._ended - {cell}) + 1, len(self._work))
        experiment, key = cell
        return f"cell {number} of {len(self._work)}, {experiment} {key.split('/')[0]}"

    def _seconds(self, cost: Cost) -> float:
        seconds = self._speed.seconds(cost)
        if seconds is None:
            seconds = cost.tokens * FLOPS_OF_A_TOKEN / self._speed.forward
        return max(seconds, LEAST_SECONDS)


@contextmanager
def run_progress(device: str, *, is_shown: bool, watch: CellWatch | None = None) -> Generator[RunProgress]:
    """Show the progress of a run on stderr.

    Args:
        device: device of the run, as torch names it.
        is_shown: whether this process shows it; of several that share the work, only one does.
        watch: gets to know when cells begin and end, in the process that shows the progress.

    Yields:
        The progress, to which cells are added.
    """
    if not is_shown:
        yield RunProgress(device, lambda _description, _done, _total: None)
        return
    with work_bar() as show:
        yield RunProgress(device, show, watch)
