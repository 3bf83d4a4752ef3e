"""The process that mirrors a run in Weights & Biases while the run goes on; see ``live_mirror``.

It only reads the records. The run of an experiment and a pair is opened with the pair's first record. Each cell that is
done adds a row, whose step is the number of the cell. When all cells are done, the run gets its tables, curves and
artifact. The run that is whole last stays open until the work ends, because it gets the message of the end.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, Cell, store_of
from slr.runs.live_mirror import (
    DISK_FULL,
    PROGRESS_NAME,
    SECONDS_AFTER_A_STOP,
    End,
    MirrorJob,
)
from slr.runs.output_lock import OutputInUseError, output_lock
from slr.runs.records import AnyRecord, Configuration, Failure, Samples
from slr.runs.results import RecordsByKey, of_kind
from slr.runs.run_content import RunContent, logged_name, named_for_wandb, run_of_records
from slr.runs.run_progress import EndedCell
from slr.runs.tracking import Marks, OpenRun, failure_told, mirror_verdicts
from slr.runs.wandb_files import DiskError, wandb_files_below
from slr.terminal.literal_text import visible

NICENESS = 10
"""How far the process stands back for the work: on a busy core it gets a tenth of what the work gets."""
SHORTEST_PAUSE = 1.0
"""Seconds between two looks at the records, at least."""
PAUSE_FOR_WORK = 50.0
"""Seconds of pause for each second of processor time of a look, so that looking takes at most 2% of one core."""
SECONDS_TO_RETRY = 600.0
"""Seconds until a run that W&B did not take is tried again."""
TEXTS_SHOWN = 4
"""Number of sample texts that are shown of the latest cell that sampled."""
LONGEST_TEXT = 500
"""Number of characters that are shown of a sample text."""


class Progress:
    """The cells that have ended, as the process that does the work wrote them down."""

    def __init__(self, path: Path) -> None:
        """Read the file; it need not exist."""
        self._path = path
        self._num_bytes_read = 0
        self._ended: dict[tuple[str, str], EndedCell] = {}
        self.read()
        self.latest: EndedCell | None = None

    def read(self) -> None:
        """Read the lines that are new. ``latest`` is the last of them."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._num_bytes_read)
            content = file.read()
        whole_lines = content[: content.rfind(b"\n") + 1]
        self._num_bytes_read += len(whole_lines)
        for line in whole_lines.splitlines():
            # A crash of the machine may leave a part of a line.
            with suppress(ValueError, TypeError):
                self.latest = EndedCell(**json.loads(line))
                self._ended[self.latest.experiment, self.latest.cell] = self.latest

    def of(self, experiment: str, cell: str) -> EndedCell | None:
        """What is known of a cell; None if there is no line about it."""
        return self._ended.get((experiment, cell))


class PairRun:
    """The run of one experiment and pair."""

    def __init__(self, experiment: AnyExperiment, spec: PairSpec, job: MirrorJob, progress: Progress) -> None:
        """Open nothing yet.

        Args:
            experiment: the experiment.
            spec: the pair.
            job: where and how to mirror.
            progress: the cells that have ended.
        """
        self.name = f"{experiment.name}/{spec.name}"
        self.is_whole = False
        self._experiment = experiment
        self._spec = spec
        self._job = job
        self._progress = progress
        self._marks = Marks(job.output_dir, job.mode)
        self._open: OpenRun | None = None
        self._cells: list[Cell] = []
        self._logged: list[str] = []
        self._overdue: set[str] = set()
        self._alerted: set[str] = set()
        self._seen: object = None
        self._not_before = 0.0

    @property
    def is_open(self) -> bool:
        """Whether W&B writes the run."""
        return self._open is not None

    def look(self) -> None:
        """Open the run if it has records, and log the cells that are done since the last look."""
        if time.monotonic() < self._not_before:
            return
        state = self._state_of_files()
        if state == self._seen and not self._overdue:
            return
        with self._given_up_if_it_fails():
            records = self._records()
            if run := self._content(records):
                self._log_new_cells(run, records)
            self._seen = state

    def finish(self, pictures: Sequence[Path] = (), is_last_look: bool = False) -> None:
        """Make the run whole, if it has records and is not shown yet.

        Args:
            pictures: pictures to show with the records.
            is_last_look: whether the work is over, so that no cell is waited for.
        """
        with self._given_up_if_it_fails():
            records = self._records()
            run = self._content(records, pictures)
            if run is None or (self._open is None and self._marks.show(run)):
                return
            self._log_new_cells(run, records, is_last_look)
            assert self._open is not None
            self._open.finish(run, self.is_whole)
            self._open = None

    def stop(self) -> None:
        """Log what is there, and end the run unfinished, because the work was stopped."""
        if self._open is not None:
            self.look()
        if self._open is not None:
            with failure_told(self.name):
                self._open.alert("Stopped", f"{self.name}: {self._words()}", is_error=True)
                self._open.give_up()

    def alert_end(self, end: End) -> None:
        """Tell the people who watch that the work is over."""
        if self._open is None:
            return
        latest = self._progress.latest
        of_all = "" if latest is None else f"{latest.cells_done} of {latest.cells} cells of the whole run, "
        with self._given_up_if_it_fails():
            title = "Done" if end.status == 0 else "Ended with failures"
            self._open.alert(title, f"{of_all}{self._words()}", is_error=end.status != 0)

    def _words(self) -> str:
        return f"{len(self._logged)} of {len(self._cells)} cells of {self.name} are done"

    @contextmanager
    def _given_up_if_it_fails(self) -> Generator[None]:
        """Tell of a failure, and leave the run alone for a while; a server may be back later."""
        is_over = False
        with failure_told(self.name):
            yield
            is_over = True
        if not is_over:
            if self._open is not None:
                with suppress(Exception):
                    self._open.give_up()
            self._open = None
            self._seen = None
            self._not_before = time.monotonic() + SECONDS_TO_RETRY

    def _state_of_files(self) -> object:
        """What changes when a record is added."""
        stores = [store_of(self._experiment, self._job.output_dir)]
        if self._experiment.builds_on is not None:
            stores.append(store_of(self._experiment.builds_on, self._job.output_dir))
        return [(path, path.stat().st_size) for store in stores for path in store.files()]

    def _records(self) -> list[AnyRecord]:
        """The pair's records, with failures."""
        records = store_of(self._experiment, self._job.output_dir).read()
        return [record for record in records if record.pair == self._spec.name]

    def _content(self, records: Sequence[AnyRecord], pictures: Sequence[Path] = ()) -> RunContent | None:
        """What the run shows; None if there is no record yet."""
        results = [record for record in records if not isinstance(record, Failure)]
        if not results:
            return None
        return run_of_records(self._experiment, self._spec, results, pictures, self._job.smoke)

    def _log_new_cells(
        self, run: RunContent, records: Sequence[AnyRecord], is_last_look: bool = False
    ) -> None:
        if self._open is None:
            if self._marks.show(run):
                return
            self._marks.remove_unfinished(run)
            self._open = OpenRun(run, self._marks, process=self._job.process)
            self._logged = []
        done = self._done(records)
        new = [cell for cell in done if cell not in self._logged]
        # A cell's records are there a moment before the line that says how long it took. Cells of other processes have
        # no such line for long.
        known = {cell for cell in new if self._progress.of(self._experiment.name, cell)}
        ready = [cell for cell in new if is_last_look or cell in known or cell in self._overdue]
        self._overdue = {*new} - {*ready}
        self.is_whole = len(done) == len(self._cells) and not self._overdue
        # What the history holds keeps its order.
        ready.sort(key=[*self._open.labels, *ready].index)
        for cell in ready:
            self._logged.append(cell)
            row = self._row(cell, len(self._logged), records)
            if cell == ready[-1]:
                row |= _numbers_of(run)
            self._open.log(cell, [row])
        self._show_texts(records, ready)
        self._alert_failures(records)

    def _done(self, records: Sequence[AnyRecord]) -> list[str]:
        """Keys of the cells that are done, in the experiment's order."""
        own = self._experiment.results_in(records)
        earlier = self._experiment.builds_on
        results = RecordsByKey()
        if earlier is not None:
            found = earlier.results_in(store_of(earlier, self._job.output_dir).read())
            results = found.of_pair(self._spec.name)
            results.pop(Configuration.key_of(self._spec.name), None)
        results.update(own)
        self._cells = self._cells or self._experiment.cells(self._spec)
        return [cell.key for cell in self._cells if cell.is_done(results)]

    def _row(self, cell: str, number: int, records: Sequence[AnyRecord]) -> dict[str, float]:
        """The progress after a cell."""
        row: dict[str, float | None] = {"cells_done": number, "cells": len(self._cells)}
        if ended := self._progress.of(self._experiment.name, cell):
            row |= {
                "cells_done_of_all_runs": ended.cells_done,
                "cells_of_all_runs": ended.cells,
                "seconds_left_of_all_runs": ended.seconds_left,
                "seconds_of_cell": ended.seconds,
                "tokens_per_second": _tokens_per_second(ended, records),
            }
        return {f"progress/{name}": value for name, value in row.items() if value is not None}

    def _show_texts(self, records: Sequence[AnyRecord], cells: Sequence[str]) -> None:
        """Show a few texts of the latest of the cells that sampled."""
        samples = [record for record in of_kind(records, Samples) if record.provenance.cell in cells]
        if self._open is None or not samples:
            return
        latest = [record for record in samples if record.provenance.cell == samples[-1].provenance.cell]
        rows = [
            [record.method, record.request, text[:LONGEST_TEXT]]
            for record in latest[:TEXTS_SHOWN]
            for text in record.texts[:1]
        ]
        self._open.show_table(
            logged_name(self._experiment.name, "latest_texts"), (["method", "request", "text"], rows)
        )

    def _alert_failures(self, records: Sequence[AnyRecord]) -> None:
        for failure in of_kind(records, Failure):
            cell = failure.provenance.cell
            if self._open is not None and cell not in self._alerted:
                self._alerted.add(cell)
                self._open.alert(
                    "Cell failed", f"{cell}: {failure.error_type}: {failure.message}", is_error=True
                )


def _numbers_of(run: RunContent) -> dict[str, float]:
    """The metrics so far, as far as they can be made of the records so far."""
    if run.mirror is None:
        return {}
    try:
        mirror = run.mirror()
    # A mirror is made for all records of a pair, and may need some that are not there yet.
    except (ValueError, LookupError, AssertionError, ArithmeticError):
        return {}
    summary = named_for_wandb(run.experiment, mirror).summary
    return {
        name: value
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _tokens_per_second(ended: EndedCell, records: Sequence[AnyRecord]) -> float | None:
    """Sampled tokens of a cell by its time; None for a cell that sampled none, or whose time is not known."""
    began_at = ended.began_at
    if not ended.seconds or began_at is None:
        return None
    tokens = sum(
        sum(record.num_tokens)
        for record in of_kind(records, Samples)
        # An earlier attempt at the cell took a time of its own.
        if record.provenance.cell == ended.cell and record.provenance.created_at >= began_at
    )
    return tokens / ended.seconds if tokens else None


def follow(job: MirrorJob, inbox: queue.Queue[End | None]) -> None:
    """Mirror the records until the work ends.

    Args:
        job: what to mirror, and where.
        inbox: gets an ``End`` when the work has ended, or None when it was stopped.
    """
    directory = job.output_dir / "wandb"
    progress = Progress(directory / PROGRESS_NAME)
    runs = [
        PairRun(experiment, spec, job, progress)
        for spec in job.specs
        for experiment in job.make_experiments()
    ]
    end, is_over = None, False
    pause = 0.0
    while not is_over:
        with suppress(queue.Empty):
            end, is_over = inbox.get(timeout=pause), True
        began = time.process_time()
        progress.read()
        for run in runs:
            run.look()
        _finish_whole(runs)
        pause = max(SHORTEST_PAUSE, PAUSE_FOR_WORK * (time.process_time() - began))
    if end is None:
        for run in runs:
            run.stop()
    else:
        _finish_all(runs, end, job)


def _finish_whole(runs: Sequence[PairRun]) -> None:
    """Finish the runs whose cells are all done, but leave one run open."""
    opened = [run for run in runs if run.is_open]
    for run in [run for run in opened if run.is_whole][: len(opened) - 1]:
        run.finish()


def _finish_all(runs: Sequence[PairRun], end: End, job: MirrorJob) -> None:
    if opened := [run for run in runs if run.is_open]:
        opened[-1].alert_end(end)
    pictures = () if end.verdicts else end.pictures
    for run in runs:
        run.finish(pictures, is_last_look=True)
    for spec in job.specs:
        if spec.name in end.verdicts:
            verdicts = end.verdicts[spec.name]
            mirror_verdicts(spec, verdicts, job.output_dir, job.mode, end.pictures, job.smoke)


def main() -> int:
    """Mirror until the work ends, and return the exit status."""
    _give_way()
    job: MirrorJob = pickle.load(sys.stdin.buffer)
    inbox: queue.Queue[End | None] = queue.Queue()
    threading.Thread(target=_wait_for_end, args=(inbox,), daemon=True).start()
    try:
        with _alone_in(job.output_dir / "wandb"), wandb_files_below(job.output_dir, job.mode):
            follow(job, inbox)
    except DiskError as error:
        print(visible(f"error: {error}"), file=sys.stderr, flush=True)
        return DISK_FULL
    except Exception as error:
        print(
            visible(f"W&B: the mirror failed: {type(error).__name__}: {error}"), file=sys.stderr, flush=True
        )
        return 1
    return 0


def _give_way() -> None:
    """Leave the processor to the work, and signals to the process that does it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    os.environ["WANDB_SILENT"] = "true"
    # A store warns of an unfinished line, which is one that is just being written.
    logging.disable(logging.WARNING)


def _wait_for_end(inbox: queue.Queue[End | None]) -> None:
    try:
        inbox.put(pickle.load(sys.stdin.buffer))
    except (EOFError, pickle.UnpicklingError):
        inbox.put(None)
        time.sleep(SECONDS_AFTER_A_STOP)
        os._exit(1)


@contextmanager
def _alone_in(directory: Path) -> Generator[None]:
    """Hold the mirror's directory, once the mirror of a run that was stopped has let go of it."""
    while True:
        try:
            with output_lock(directory):
                yield
            return
        except OutputInUseError:
            time.sleep(SHORTEST_PAUSE / 4)


def _end(status: int) -> NoReturn:
    """End the process, which cannot end by itself while a thread waits for its standard input."""
    if wandb := sys.modules.get("wandb"):
        wandb.teardown()
    os._exit(status)


if __name__ == "__main__":
    _end(main())
