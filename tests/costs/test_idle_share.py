"""Simulated sharing, by small cases computed by hand."""

from __future__ import annotations

import pytest

from slr.costs.idle_share import PairWork, Work, planned_rounds, planned_work, share_at_once, share_in_rounds
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import AnyExperiment, Cell, Cost, Experiment
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


def work(name: str, seconds: float, *needs: str) -> Work:
    return Work(name=name, seconds=seconds, rank=seconds, needs=frozenset(needs))


def cell(name: str, seconds: int, *needs: str, is_divisible: bool = False) -> Cell:
    return Cell(
        key=f"tiny/{name}",
        record_keys=lambda _: [],
        run=lambda _: iter(()),
        cost=Cost(layer_evaluations=0, tokens=seconds, flops=float(seconds)),
        needs=tuple(f"tiny/{key}" for key in needs),
        is_divisible=is_divisible,
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


SEARCH = experiment("search", cell("intervals", 4, is_divisible=True), cell("models", 1))
STUDY = experiment(
    "study",
    cell("problems", 1),
    cell("answers", 5, "problems"),
    cell("measures", 0, "answers"),
    cell("benchmark", 7),
    builds_on=SEARCH,
)


def test_a_round_ends_with_its_slowest_process():
    """Two processes: 2 s of A each, then B to 5 s beside C to 4 s and D to 6 s. E keeps one waiting."""
    first = PairWork(divided=((work("A", 4), 2),), whole=(work("B", 3), work("C", 2), work("D", 2)))
    shared = share_in_rounds([[first], [PairWork(whole=(work("E", 1),))]], 2)
    assert (shared.busy_seconds, shared.seconds) == (12, 7)
    assert shared.idle_share == pytest.approx(1 / 7)


def test_a_process_goes_on_with_the_next_pair_before_the_others_are_done():
    """B until 3 s. Beside it C until 1 s, and then D of the next pair until 5 s, whose E is done from 3 to 4 s."""
    pairs = PairWork(whole=(work("B", 3), work("C", 1))), PairWork(whole=(work("D", 4), work("E", 1)))
    assert share_in_rounds([pairs], 2).seconds == 5


def test_a_cell_has_no_more_parts_than_layers():
    """The third process has no part of A and takes B at once; the others take C and D after 2 s."""
    first = PairWork(divided=((work("A", 4), 2),), whole=(work("B", 3), work("C", 2), work("D", 2)))
    shared = share_in_rounds([[first]], 3)
    assert (shared.busy_seconds, shared.seconds) == (11, 4)


def test_without_rounds_a_process_waits_only_where_nothing_is_ready():
    """C and D until 3 s, A until 4 s while the other process waits, B until 8 s."""
    shared = share_at_once([work("A", 1), work("B", 4, "A"), work("C", 3), work("D", 3)], 2)
    assert (shared.busy_seconds, shared.seconds) == (11, 8)
    assert shared.idle_share == pytest.approx(5 / 16)


def test_work_waits_for_all_parts_of_what_it_needs():
    """C until 3 s; beside it both parts of A until 2 s, and then B until 6 s."""
    assert share_at_once([work("A", 1), work("A", 1), work("B", 4, "A"), work("C", 3)], 2).seconds == 6


def test_work_that_waits_for_itself_is_noticed():
    with pytest.raises(AssertionError, match="cells wait for each other: A"):
        share_at_once([work("A", 1, "A")], 1)


def test_the_rounds_are_the_ones_of_a_run():
    """First the search; then what the answers wait for; then all else, in parts; then what only counts."""
    rounds = planned_rounds([SEARCH, STUDY], [SPEC], SPEED, most_seconds=4)
    names = [[w.name for w in of_pair.whole] for [of_pair] in rounds]
    assert [(w.name, parts) for w, parts in rounds[0][0].divided] == [("search tiny/intervals", 2)]
    assert names == [
        ["search tiny/models"],
        ["study tiny/problems"],
        ["study tiny/benchmark"] * 2 + ["study tiny/answers"] * 2,
        ["study tiny/measures"],
    ]
    assert [w.seconds for w in rounds[2][0].whole] == [3.5, 3.5, 2.5, 2.5]
    assert share_in_rounds(rounds, 2).seconds == 3 + 1 + 6 + 0


def test_without_rounds_an_experiment_waits_for_the_one_that_it_builds_on():
    """The search until 3 s: 2 s each, and models. Then problems beside the benchmark, and the answers."""
    planned = planned_work([SEARCH, STUDY], [SPEC], SPEED, 2)
    searched = {"search tiny/intervals", "search tiny/models"}
    assert [(w.name, w.needs) for w in planned] == [
        ("search tiny/intervals", set()),
        ("search tiny/intervals", set()),
        ("search tiny/models", set()),
        ("study tiny/problems", searched),
        ("study tiny/answers", {*searched, "study tiny/problems"}),
        ("study tiny/measures", {*searched, "study tiny/answers"}),
        ("study tiny/benchmark", searched),
    ]
    assert share_at_once(planned, 2).seconds == 3 + 7
