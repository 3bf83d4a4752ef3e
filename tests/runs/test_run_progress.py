"""The place of a run among all its cells, and the share of its work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from slr.runs.experiment import Cell, CellContext, Cost
from slr.runs.records import AnyRecord
from slr.runs.run_progress import LEAST_SECONDS, EndedCell, RunProgress
from slr.runs.speed import KNOWN_SPEEDS

NAME = "open_qa"


def cell(key: str, seconds: float | None, tokens: int = 0) -> Cell:
    def run(_: CellContext) -> Iterator[Sequence[AnyRecord]]:
        raise AssertionError("no cell is run here")

    flops = None if seconds is None else seconds * KNOWN_SPEEDS["cpu"].forward
    cost = Cost(layer_evaluations=0, tokens=tokens, flops=flops)
    return Cell(key=key, record_keys=lambda _: [], run=run, cost=cost)


class Shown:
    """What a run shows last."""

    now: tuple[str, float, float] = ("", 0.0, 0.0)

    def __call__(self, description: str, done: float, total: float) -> None:
        self.now = description, done, total


def test_a_cell_counts_by_its_seconds_and_never_ends_the_run_before_it_has_ended() -> None:
    shown = Shown()
    progress = RunProgress("cpu", shown)
    progress.expect(NAME, [cell("a/x", 10), cell("a/measure", 0)])
    progress.expect(NAME, [cell("b/x", 9)])
    progress.within((NAME, "a/x"))(1, 2)
    assert shown.now == ("cell 1 of 3, open_qa a", 5, 20)
    progress.finish((NAME, "a/x"))
    progress.finish((NAME, "b/x"))
    progress.within((NAME, "a/measure"))(3, 3)
    description, done, total = shown.now
    assert description == "cell 3 of 3, open_qa a"
    assert 19 < done < total == 20
    progress.finish((NAME, "a/measure"))
    assert shown.now[1:] == (20, 20)


def test_what_was_done_before_is_a_cell_and_no_work() -> None:
    shown = Shown()
    progress = RunProgress("cpu", shown)
    cells = [cell("a/x", 100), cell("a/y", 4)]
    progress.expect(NAME, cells)
    progress.expect(NAME, cells)
    progress.skip([(NAME, "a/x")])
    progress.within((NAME, "a/y"))(1, 4)
    assert shown.now == ("cell 2 of 2, open_qa a", pytest.approx(1), 4)


def test_a_pair_that_cannot_be_used_is_no_work() -> None:
    shown = Shown()
    progress = RunProgress("cuda:1", shown)
    progress.expect(NAME, [cell("a/x", 6000), cell("a/y", 6000), cell("ab/x", 0)])
    progress.finish((NAME, "a/x"))
    progress.skip_pair("a")
    progress.finish((NAME, "ab/x"))
    assert shown.now == ("cell 3 of 3, open_qa ab", LEAST_SECONDS + 1, LEAST_SECONDS + 1)


def test_work_of_unknown_size_counts_by_its_tokens() -> None:
    shown = Shown()
    progress = RunProgress("cpu", shown)
    progress.expect(NAME, [cell("a/few", None, 10_000), cell("a/many", None, 30_000)])
    progress.finish((NAME, "a/few"))
    assert shown.now[1] / shown.now[2] == pytest.approx(0.25)


class Watched:
    """What a watch gets to know."""

    def __init__(self) -> None:
        self.num_begun = 0
        self.ended: list[EndedCell] = []

    def cell_began(self) -> None:
        self.num_begun += 1

    def cell_ended(self, ended: EndedCell) -> None:
        self.ended.append(ended)


def test_a_watch_gets_to_know_each_cell_its_time_and_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("slr.runs.run_progress.time.monotonic", lambda: now[0])
    watched = Watched()
    progress = RunProgress("cpu", Shown(), watched)
    progress.expect(NAME, [cell("a/x", 10), cell("a/y", 20), cell("a/z", 30)])
    progress.within((NAME, "a/x"))
    now[0] = 104.0
    progress.finish((NAME, "a/x"))
    progress.finish((NAME, "a/y"))  # another process ran it
    first, second = watched.ended
    assert watched.num_begun == 1
    assert (first.experiment, first.cell, first.seconds) == (NAME, "a/x", 4.0)
    assert (first.cells_done, first.cells, first.seconds_left) == (1, 3, pytest.approx(20))
    assert (second.seconds, second.began_at, second.cells_done) == (None, None, 2)
    assert second.seconds_left == pytest.approx(4)
