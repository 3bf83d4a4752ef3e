"""A round: several processes run cells that wait for none of each other, and then exchange their records.

Each process takes the next cell when it has finished the one before. Dear cells are divided where they can be; see
``processes``. A cell that fails leaves a failure record. Cells that do not need it still run, and the next run tries it
again.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slr.models.reference import UnusablePairError
from slr.runs.experiment import AnyExperiment, Cell, CellContext, PairOnDemand, RunSettings
from slr.runs.processes import Processes, count_parts
from slr.runs.records import AnyRecord, CellTime, Configuration, Failure
from slr.runs.results import RecordsByKey
from slr.runs.results_store import ResultsStore
from slr.runs.run_progress import CellId, RunProgress
from slr.terminal.literal_text import visible
from slr.terminal.progress import OnProgress

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What all processes together did in a run of one experiment on one pair.

    Attributes:
        cells_done: number of cells that were done before.
        cells_run: number of cells that this run did.
        failed: keys of the cells that failed, or that need one that failed.
    """

    cells_done: int = 0
    cells_run: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class PairRun:
    """The experiments on one pair.

    Attributes:
        experiments: the experiments that were begun, by name.
        stores: the stores of all experiments by name. All pairs share them, because a store refuses a file that another
            store wrote to.
        error: why the pair cannot be loaded or searched, or an experiment not begin; None as far as they can.
    """

    pair: PairOnDemand
    stores: Mapping[str, ResultsStore]
    experiments: dict[str, ExperimentRun] = field(default_factory=dict)
    error: ValueError | None = None


@dataclass(frozen=True, kw_only=True)
class ExperimentRun:
    """One experiment on one pair: everything that a process needs to run its cells.

    Attributes:
        results: all results so far, also of the experiment that it builds on.
        earlier: keys of the results of the experiment that it builds on.
        done_before: the cells that were done before this run.
        waiting: the cells that are still to be run.
        outcome: what was done so far.
    """

    experiment: AnyExperiment
    configuration: Configuration
    of_pair: PairRun
    settings: RunSettings
    store: ResultsStore
    results: RecordsByKey
    earlier: frozenset[str]
    done_before: list[CellId]
    waiting: list[Cell]
    outcome: Outcome

    @property
    def id(self) -> tuple[str, str]:
        """Name of the experiment, and name of the pair."""
        return self.experiment.name, self.of_pair.pair.spec.name

    def own_results(self) -> RecordsByKey:
        """The results of the experiment itself."""
        return RecordsByKey((key, record) for key, record in self.results.items() if key not in self.earlier)


@dataclass(frozen=True)
class Piece:
    """A cell or a part of one, and the run that it belongs to."""

    run: ExperimentRun
    cell: Cell
    part: int = 0
    num_parts: int = 1

    @property
    def id(self) -> CellId:
        """Name of the experiment and key of the cell."""
        return self.run.experiment.name, self.cell.key

    @property
    def share(self) -> float:
        """The share of the cell by which progress counts it; of a cell that all do at once, all processes' parts."""
        return 1 / self.num_parts if self.is_dealt_part else 1.0

    @property
    def is_dealt_part(self) -> bool:
        """Whether other parts of the cell may not be done when this one ends."""
        return self.num_parts > 1 and self.cell.division == "in_parts"

    @property
    def can_be_dealt(self) -> bool:
        """Whether the cell may be divided into parts that are dealt out."""
        # vLLM would start an engine for each part.
        by_vllm = self.run.experiment.samples_answers and self.run.settings.engine == "vllm"
        return self.cell.division == "in_parts" and not by_vllm

    def context(self, on_progress: OnProgress) -> CellContext:
        """What the cell has when it runs."""
        return CellContext(
            cell=self.cell,
            part=self.part,
            num_parts=self.num_parts,
            experiment=self.run.experiment,
            configuration=self.run.configuration,
            pair_on_demand=self.run.of_pair.pair,
            results=self.run.results,
            settings=self.run.settings,
            on_progress=on_progress,
        )


@dataclass(frozen=True)
class _RoundResult:
    """What a process did in a round, to be sent to the others.

    Attributes:
        results: new records by key, under the id of their run.
        failed: failures by experiment and key of their cell.
        unusable: errors by name of the pair that cannot be used; no process goes on with these pairs.
    """

    results: dict[tuple[str, str], dict[str, AnyRecord]] = field(default_factory=dict)
    failed: dict[CellId, Failure] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


def _show_nothing(_done: float, _total: float) -> None:
    pass


def _leave_out(pieces: Sequence[Piece], progress: RunProgress) -> list[Piece]:
    """The cells that need no failed cell. The others count as failed too."""
    able = []
    for piece in pieces:
        failed = piece.run.outcome.failed
        if needed := [key for key in piece.cell.needs if key in failed]:
            if piece.run.settings.processes.is_main:
                _print_status(f"{piece.cell.key}: left out, because it needs {', '.join(needed)}")
            failed.append(piece.cell.key)
            progress.finish(piece.id)
        else:
            able.append(piece)
    return able


def run_round(pieces: Sequence[Piece], progress: RunProgress, processes: Processes) -> None:
    """Run this process's share of the cells, and take over what the other processes did with theirs.

    Args:
        pieces: whole cells, pair by pair. The ones that need a failed cell are left out.
        progress: shows this process's own progress, and at the end of the round also the other processes'.
        processes: the processes that share the cells; each one calls this with the same cells.
    """
    pieces = _leave_out(pieces, progress)
    # A lone process keeps the order of the cells, because the first one finds out whether a pair can be used at all.
    own = pieces if processes.count == 1 else _shared(pieces, progress, processes)
    done_here: set[CellId] = set()
    made_here = _run_own(own, progress, done_here)
    made_by_each = processes.gather([made_here])
    if processes.count > 1:
        # A failure counts only until its cell has a newer result. Another process may have begun its share of the cell
        # after it had failed here. Therefore failures are written again, now that all processes have finished.
        for piece in pieces:
            if (failure := made_here.failed.get(piece.id)) is not None:
                again = failure.model_copy(update=piece.context(_show_nothing).header_now())
                piece.run.store.append([again])
    for made, run in itertools.product(made_by_each, {piece.run.id: piece.run for piece in pieces}.values()):
        for key, record in made.results.get(run.id, {}).items():
            run.results.setdefault(key, record)
        if (message := made.unusable.get(run.of_pair.pair.spec.name)) is not None:
            run.of_pair.error = UnusablePairError(message)
    failed = {id_ for made in made_by_each for id_ in made.failed}
    for piece in pieces:
        if piece.run.of_pair.error is not None:
            continue
        if piece.id not in done_here:
            progress.finish(piece.id)
        if piece.id in failed:
            piece.run.outcome.failed.append(piece.cell.key)
        else:
            assert piece.cell.is_done(piece.run.results), (
                f"{piece.cell.key} did not make the records that it announced"
            )
            piece.run.outcome.cells_run += 1


def _shared(pieces: Sequence[Piece], progress: RunProgress, processes: Processes) -> Iterator[Piece]:
    """This process's share, pair by pair: first of the cells that all processes divide, then what it is dealt."""
    # Each machine may have another estimate of its own speed.
    seconds = processes.from_main(lambda: [progress.seconds_of(piece.id) for piece in pieces])
    counts = count_parts(seconds, processes.count)
    work = zip(pieces, seconds, counts, strict=True)
    for _, of_pair in itertools.groupby(work, key=lambda one: one[0].run.of_pair.pair.spec.name):
        dealt: list[Piece] = []
        costs: list[float] = []
        for piece, cost, count in of_pair:
            if piece.cell.division == "among_all":
                yield dataclasses.replace(piece, part=processes.index, num_parts=processes.count)
                continue
            num_parts = count if piece.can_be_dealt else 1
            dealt += [dataclasses.replace(piece, part=part, num_parts=num_parts) for part in range(num_parts)]
            costs += [cost / num_parts] * num_parts
        yield from processes.deal(dealt, costs)


def _run_own(pieces: Iterable[Piece], progress: RunProgress, done: set[CellId]) -> _RoundResult:
    """Run the cells, and add to ``done`` which ones ended; a cell whose parts are dealt ends with the round."""
    made = _RoundResult()
    before: PairOnDemand | None = None
    for piece in pieces:
        pair = piece.run.of_pair.pair
        if before is not None and pair is not before:
            before.give_up()
        before = pair
        # The share is taken to its end, because every process must take part in every deal.
        if pair.spec.name in made.unusable:
            continue
        try:
            new, failure = _run_cell(
                piece.context(progress.within(piece.id, piece.share)), piece.run.store, piece.run.results
            )
        except UnusablePairError as error:
            made.unusable[pair.spec.name] = str(error)
            continue
        made.results.setdefault(piece.run.id, {}).update(new)
        if failure is not None:
            made.failed[piece.id] = failure
        if piece.is_dealt_part:
            progress.finish_part(piece.id, piece.share)
        else:
            done.add(piece.id)
            progress.finish(piece.id)
    return made


def _run_cell(
    context: CellContext, store: ResultsStore, results: RecordsByKey
) -> tuple[dict[str, AnyRecord], Failure | None]:
    """Run a cell to its end or its first error, and add its records to ``results``.

    Returns:
        The new records by key, and the failure, if there was one.

    Raises:
        UnusablePairError: if the pair cannot be used; no other cell could run then.
    """
    cell = context.cell
    made: dict[str, AnyRecord] = {}
    # This fixes the time now, so that records are as old as their cell, and a failure in any process is newer.
    _ = context.header
    batches = cell.run(context)
    began = time.monotonic()
    while True:
        try:
            batch = next(batches, None)
        except UnusablePairError:
            raise
        except Exception as error:
            # Any error at all is caught, because the records so far and the other cells are worth keeping.
            logger.debug("%s failed", cell.key, exc_info=True)
            message = context.spec.without_paths(str(error))
            failure = Failure(**context.header_now(), error_type=type(error).__name__, message=message)
            new = _not_yet_recorded([context.configuration], results)
            store.append([*new, failure])
            _print_status(f"{cell.key}: failed: {type(error).__name__}: {error}")
        else:
            if batch is None:
                return made, None
            failure = None
            now = time.monotonic()
            new = _with_time(
                _not_yet_recorded([context.configuration, *batch], results), context, now - began
            )
            began = now
            # On disk first: a record that other cells build on must outlast a crash.
            store.append(new)
        made |= {record.key: record for record in new}
        results.update(made)
        if failure is not None:
            return made, failure


def _with_time(records: Sequence[AnyRecord], context: CellContext, seconds: float) -> list[AnyRecord]:
    """The records of a batch, of which the cell's first one says how long the batch took."""
    cell, processes = context.cell, context.settings.processes.count
    timed = list(records)
    place = next((i for i, record in enumerate(records) if record.provenance.cell == cell.key), None)
    if place is not None:
        took = CellTime(seconds=seconds, processes=processes, **dataclasses.asdict(cell.cost))
        source = records[place].provenance.model_copy(update={"took": took})
        timed[place] = records[place].model_copy(update={"provenance": source})
    return timed


def _not_yet_recorded(records: Iterable[AnyRecord], results: RecordsByKey) -> list[AnyRecord]:
    return [record for record in records if record.key not in results]


def _print_status(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)
