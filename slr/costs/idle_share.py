"""How long processes wait for each other while they share the cells of a run, simulated from the estimated costs.

The rounds, the division of dear cells and the order in which they are dealt come from the functions that a run uses.
The simulation leaves out the loading of models, the measuring of texts and the scoring of answers, which no estimate
counts. A cell that all processes divide among them is taken as equal parts, at most one for each decoder layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, Cell, Division
from slr.runs.processes import count_parts
from slr.runs.run_experiments import independent_of_each_other, next_round
from slr.runs.speed import DeviceSpeed


@dataclass(frozen=True, kw_only=True)
class Work:
    """A cell of a round.

    Attributes:
        name: name of the experiment and key of the cell.
        seconds: estimated time in seconds.
        division: how several processes do it.
        num_layers: number of decoder layers of the cell's pair.
    """

    name: str
    seconds: float
    division: Division = "none"
    num_layers: int = 1


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
        """Share of the processes' time in which they do no work of a cell."""
        return 1 - self.busy_seconds / (self.num_processes * self.seconds)


def planned_rounds(
    experiments: Sequence[AnyExperiment], pairs: Sequence[PairSpec], speed: DeviceSpeed
) -> list[list[list[Work]]]:
    """List the rounds in which a run does its cells, pair by pair.

    Args:
        experiments: the experiments of the run.
        pairs: its pairs.
        speed: speed of the device.

    Raises:
        ValueError: if the size of a pair is not known.
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
                [[_work(spec, e, cell, speed) for of, e, cell in cells if of is spec] for spec in pairs]
            )
    return rounds


def share_rounds(
    rounds: Sequence[Sequence[Sequence[Work]]], num_processes: int, *, divides: bool = True
) -> Timeline:
    """Simulate processes that wait for each other at the end of each round.

    For one pair after the other they do their parts of the cells that all divide, and then what they are dealt.

    Args:
        rounds: the work of each round, pair by pair.
        num_processes: number of processes.
        divides: whether dear cells are dealt in parts, as in a run; otherwise one process does all of such a cell.
    """
    busy = seconds = 0.0
    for round_ in rounds:
        free = [0.0] * num_processes
        costs = [work.seconds for of_pair in round_ for work in of_pair]
        counts = iter(count_parts(costs, num_processes if divides else 1))
        for of_pair in round_:
            parts: list[float] = []
            for work, count in zip(of_pair, counts, strict=False):
                if work.division == "among_all":
                    num_parts = min(num_processes, work.num_layers)
                    for place in range(num_parts):
                        free[place] += work.seconds / num_parts
                else:
                    num_parts = count if work.division == "in_parts" else 1
                    parts += [work.seconds / num_parts] * num_parts
            for part in sorted(parts, reverse=True):
                free[free.index(min(free))] += part
        busy += sum(free)
        seconds += max(free)
    return Timeline(num_processes=num_processes, busy_seconds=busy, seconds=seconds)


def _work(spec: PairSpec, experiment: AnyExperiment, cell: Cell, speed: DeviceSpeed) -> Work:
    seconds = speed.seconds(cell.cost)
    if seconds is None or spec.num_layers is None:
        raise ValueError(f"{spec.name}: expected a pair of a known size, because costs follow from it")
    # Two experiments may have a cell of one key.
    name = f"{experiment.name} {cell.key}"
    return Work(name=name, seconds=seconds, division=cell.division, num_layers=spec.num_layers)
