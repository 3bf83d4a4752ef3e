"""Simulated sharing, by small cases computed by hand."""

from __future__ import annotations

import pytest

from slr.costs.idle_share import Work, planned_rounds, share_rounds
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import AnyExperiment, Cell, Cost, Division, Experiment
from slr.runs.processes import Processes
from slr.runs.speed import DeviceSpeed

SPEED = DeviceSpeed(forward=1.0, sampling=1.0, origin="a FLOP takes a second")
SPEC = PairSpec(
    name="tiny",
    family="llama",
    base=ModelReference("base"),
    instruct=ModelReference("instruct"),
    num_layers=2,
    num_parameters=1,
)


def work(name: str, seconds: float, division: Division = "none", num_layers: int = 2) -> Work:
    return Work(name=name, seconds=seconds, division=division, num_layers=num_layers)


def cell(name: str, seconds: int, *needs: str, division: Division = "none") -> Cell:
    return Cell(
        key=f"tiny/{name}",
        record_keys=lambda _: [],
        run=lambda _: iter(()),
        cost=Cost(layer_evaluations=0, tokens=seconds, flops=float(seconds)),
        needs=tuple(f"tiny/{key}" for key in needs),
        division=division,
    )


def experiment(name: str, *cells: Cell, builds_on: AnyExperiment | None = None) -> AnyExperiment:
    return Experiment(
        name=name,
        question="?",
        config=Processes(),  # any frozen dataclass
        cells=lambda _: list(cells),
        job_type="?",
        builds_on=builds_on,
    )


SEARCH = experiment("search", cell("intervals", 4, division="among_all"), cell("models", 1))
STUDY = experiment(
    "study",
    cell("problems", 1),
    cell("answers", 5, "problems"),
    cell("measures", 0, "answers"),
    cell("benchmark", 7, division="in_parts"),
    builds_on=SEARCH,
)


def test_a_round_ends_with_its_slowest_process():
    """Two processes: 2 s of A each, then B to 5 s beside C to 4 s and D to 6 s. E keeps one waiting."""
    first = [work("A", 4, "among_all"), work("B", 3), work("C", 2), work("D", 2)]
    shared = share_rounds([[first], [[work("E", 1)]]], 2)
    assert (shared.busy_seconds, shared.seconds) == (12, 7)
    assert shared.idle_share == pytest.approx(1 / 7)


def test_a_process_goes_on_with_the_next_pair_before_the_others_are_done():
    """B until 3 s. Beside it C until 1 s, and then D of the next pair until 5 s, whose E is done from 3 to 4 s."""
    pairs = [work("B", 3), work("C", 1)], [work("D", 4), work("E", 1)]
    assert share_rounds([pairs], 2).seconds == 5


def test_a_cell_that_all_divide_has_no_more_parts_than_layers():
    """The third process has no part of A and takes B at once; the others take C and D after 2 s."""
    first = [work("A", 4, "among_all"), work("B", 3), work("C", 2), work("D", 2)]
    shared = share_rounds([[first]], 3)
    assert (shared.busy_seconds, shared.seconds) == (11, 4)


def test_a_dear_cell_is_dealt_in_parts_to_all():
    """Alone on it, one process works for 32 s beside the 2 s of the other one; in parts, 17 s each."""
    cells = [work("dear", 32, "in_parts"), work("cheap", 2)]
    assert share_rounds([[cells]], 2, divides=False).seconds == 32
    shared = share_rounds([[cells]], 2)
    assert shared.busy_seconds == pytest.approx(34)
    assert shared.seconds == pytest.approx(17, abs=1.1)


def test_the_rounds_are_the_ones_of_a_run():
    """First the search; then what the answers wait for; then all else; then what only counts."""
    rounds = planned_rounds([SEARCH, STUDY], [SPEC], SPEED)
    assert [[(w.name, w.seconds, w.division) for w in of_pair] for [of_pair] in rounds] == [
        [("search tiny/intervals", 4, "among_all"), ("search tiny/models", 1, "none")],
        [("study tiny/problems", 1, "none")],
        [("study tiny/answers", 5, "none"), ("study tiny/benchmark", 7, "in_parts")],
        [("study tiny/measures", 0, "none")],
    ]
    assert share_rounds(rounds, 2, divides=False).seconds == 3 + 1 + 7 + 0
