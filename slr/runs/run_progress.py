"""The progress of a whole run: its place among all cells of all pairs, and the time that is left.

Each cell counts as much as its estimated time. Cells that were done before count as cells, but not as work, because
they say nothing about the speed of this run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

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


class RunProgress:
    """Counts cells and their work, and shows both."""

    def __init__(self, device: str, show: OnWork) -> None:
        """Begin without any cell.

        Args:
            device: device of the run, as torch names it.
            show: shows a description, the work done and all work.
        """
        self._speed = device_speed(device.split(":")[0])
        self._show = show
        self._work: dict[CellId, float] = {}
        self._ended: set[CellId] = set()
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

    def within(self, cell: CellId) -> OnProgress:
        """The callback to which a cell reports its own progress."""

        def on_progress(done: float, total: float) -> None:
            share = min(done / total, MOST_OF_A_CELL)
            self._show(self._describe(cell), self._done + self._work[cell] * share, self._all)

        return on_progress

    def finish(self, cell: CellId) -> None:
        """Count the whole cell, also if it reported less."""
        if cell not in self._ended:
            self._ended.add(cell)
            self._done += self._work[cell]
        is_over = len(self._ended) == len(self._work)
        # Sums of fractions may miss the total by a hair.
        self._show(self._describe(cell), self._all if is_over else self._done, self._all)

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
def run_progress(device: str, *, is_shown: bool) -> Generator[RunProgress]:
    """Show the progress of a run on stderr.

    Args:
        device: device of the run, as torch names it.
        is_shown: whether this process shows it; of several that share the work, only one does.

    Yields:
        The progress, to which cells are added.
    """
    if not is_shown:
        yield RunProgress(device, lambda _description, _done, _total: None)
        return
    with work_bar() as show:
        yield RunProgress(device, show)
