"""The place of a run among all its cells, and the share of its work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from slr.runs.experiment import Cell, CellContext, Cost
from slr.runs.records import AnyRecord
from slr.runs.run_progress import LEAST_SECONDS, RunProgress
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
