"""How long processes wait for each other while they share the cells of a run, simulated from the estimated costs.

The simulation knows two ways to share. *In rounds* is what a run does; see ``experiment``. *At once* has no rounds: a
cell starts as soon as a process is free and the records that it needs are there, of any pair.

Both leave out the loading of models and the measuring of texts, which no estimate counts. A cell that all processes
divide among them is taken as equal parts, at most one for each decoder layer.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, Cell, independent_of_each_other, next_round
from slr.runs.speed import DeviceSpeed


@dataclass(frozen=True, kw_only=True)
class Work:
    """A cell, or an equal part of one, that one process does.

    Attributes:
        name: name of the cell.
        seconds: estimated time in seconds.
        rank: estimate by which the dearest work is taken first, in any unit.
        needs: names of the cells that must be done before, all parts of them.
    """

    name: str
    seconds: float
    rank: float
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PairWork:
    """The work of a round on one pair.

    Attributes:
        divided: cells that every process does a part of, each with the number of its parts.
        whole: work that one process does, in the order in which it is taken.
    """

    divided: tuple[tuple[Work, int], ...] = ()
    whole: tuple[Work, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What came of sharing.

    Attributes:
        num_processes: number of processes.
        busy_seconds: seconds of work, summed over the processes.
        seconds: seconds from the first cell's beginning to the last one's end.
    """

    num_processes: int
    busy_seconds: float
    seconds: float

    @property
    def idle_share(self) -> float:
        """Share of the processes' time in which they wait."""
        return 1 - self.busy_seconds / (self.num_processes * self.seconds)


def planned_rounds(
    experiments: Sequence[AnyExperiment],
    pairs: Sequence[PairSpec],
    speed: DeviceSpeed,
    most_seconds: float = math.inf,
) -> list[list[PairWork]]:
    """List the rounds in which a run does its cells, pair by pair, by the functions that a run itself uses.

    Args:
        experiments: the experiments of the run.
        pairs: its pairs, whose cells share the rounds, pair by pair.
        speed: speed of the device.
        most_seconds: seconds that a cell takes at most; a dearer one is divided into equal parts.
    """
    rounds = []
    for group in independent_of_each_other(experiments):
        runs = [(spec, experiment) for spec in pairs for experiment in group]
        waiting = [experiment.cells(spec) for spec, experiment in runs]
        while any(waiting):
            chosen = next_round(waiting)
            waiting = [[c for c in cells if c not in now] for cells, now in zip(waiting, chosen, strict=True)]
            cells = [(spec, e, cell) for (spec, e), now in zip(runs, chosen, strict=True) for cell in now]
            rounds.append(
                [
                    _pair_work(spec, [(e, cell) for of, e, cell in cells if of is spec], speed, most_seconds)
                    for spec in pairs
                ]
            )
    return rounds


def _pair_work(
    spec: PairSpec, cells: Sequence[tuple[AnyExperiment, Cell]], speed: DeviceSpeed, most_seconds: float
) -> PairWork:
    divided = [(_work(e, cell, speed), _layers(spec)) for e, cell in cells if cell.is_divisible]
    whole = [_work(e, cell, speed) for e, cell in cells if not cell.is_divisible]
    return PairWork(divided=tuple(divided), whole=_dearest_first(_parts(whole, most_seconds)))


def planned_work(
    experiments: Sequence[AnyExperiment],
    pairs: Sequence[PairSpec],
    speed: DeviceSpeed,
    num_processes: int,
    most_seconds: float = math.inf,
) -> list[Work]:
    """List all work of a run, with what it waits for: cells that it needs, and the experiment that its own builds on.

    Args:
        experiments: the experiments of the run.
        pairs: its pairs.
        speed: speed of the device.
        num_processes: number of parts of the cells that all processes divide, except where there are fewer layers.
        most_seconds: seconds that any other cell takes at most; a dearer one is divided into equal parts.
    """
    found: list[Work] = []
    for experiment, spec in itertools.product(experiments, pairs):
        earlier = experiment.builds_on
        before = [] if earlier is None else [_name(earlier, cell) for cell in earlier.cells(spec)]
        for cell in experiment.cells(spec):
            needs = {*before, *(f"{experiment.name} {key}" for key in cell.needs)}
            work = replace(_work(experiment, cell, speed), needs=frozenset(needs))
            if cell.is_divisible:
                found += _equal_parts(work, min(num_processes, _layers(spec)))
            else:
                found += _parts([work], most_seconds)
    return found


def share_in_rounds(rounds: Sequence[Sequence[PairWork]], num_processes: int) -> Timeline:
    """Simulate processes that wait for each other at the end of each round.

    For one pair after the other they do their parts of the divided cells, then take the dearest work left.

    Args:
        rounds: the work of each round, pair by pair.
        num_processes: number of processes.
    """
    busy = seconds = 0.0
    for round_ in rounds:
        free = [0.0] * num_processes
        for of_pair in round_:
            for work, most_parts in of_pair.divided:
                num_parts = min(num_processes, most_parts)
                for place in range(num_parts):
                    free[place] += work.seconds / num_parts
            for work in of_pair.whole:
                place = free.index(min(free))
                free[place] += work.seconds
        busy += sum(free)
        seconds += max(free)
    return Timeline(num_processes=num_processes, busy_seconds=busy, seconds=seconds)


def share_at_once(all_work: Sequence[Work], num_processes: int) -> Timeline:
    """Simulate processes that always take the dearest work whose needs are done, and wait only where there is none.

    Args:
        all_work: the work, in any order.
        num_processes: number of processes.
    """
    parts_left = _count_names(all_work)
    waiting = list(_dearest_first(all_work))
    running: list[tuple[float, int, Work]] = []
    now = 0.0
    while waiting or running:
        ready = [w for w in waiting if not any(parts_left.get(name) for name in w.needs)]
        for work in ready[: num_processes - len(running)]:
            waiting.remove(work)
            # The second number keeps work itself from being compared.
            heapq.heappush(running, (now + work.seconds, len(waiting), work))
        assert running, f"cells wait for each other: {', '.join(work.name for work in waiting)}"
        now, _, done = heapq.heappop(running)
        parts_left[done.name] -= 1
    return Timeline(
        num_processes=num_processes, busy_seconds=sum(work.seconds for work in all_work), seconds=now
    )


def _count_names(all_work: Sequence[Work]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for work in all_work:
        counts[work.name] = counts.get(work.name, 0) + 1
    return counts


def _name(experiment: AnyExperiment, cell: Cell) -> str:
    # Two experiments may have a cell of one key.
    return f"{experiment.name} {cell.key}"


def _work(experiment: AnyExperiment, cell: Cell, speed: DeviceSpeed) -> Work:
    # Some cells only count what other cells made.
    seconds = speed.seconds(cell.cost)
    if seconds is None:
        raise ValueError(
            f"{cell.key}: expected a pair of a known number of parameters, because costs follow from it"
        )
    return Work(name=_name(experiment, cell), seconds=seconds, rank=cell.cost.tokens)


def _layers(spec: PairSpec) -> int:
    if spec.num_layers is None:
        raise ValueError(
            f"{spec.name}: expected a pair of a known number of layers, because costs follow from it"
        )
    return spec.num_layers


def _parts(whole: Sequence[Work], most_seconds: float) -> list[Work]:
    return [
        part for work in whole for part in _equal_parts(work, max(1, math.ceil(work.seconds / most_seconds)))
    ]


def _equal_parts(work: Work, count: int) -> list[Work]:
    return [replace(work, seconds=work.seconds / count, rank=work.rank / count)] * count


def _dearest_first(all_work: Sequence[Work]) -> tuple[Work, ...]:
    return tuple(sorted(all_work, key=lambda work: -work.rank))
