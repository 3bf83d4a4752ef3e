"""Several processes on several pairs: here threads, each with the whole loop and a place among the others."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]  # documented there
from typing_extensions import override

from slr.models.reference import PairSpec, UnusablePairError
from slr.runs.experiment import (
    AnyExperiment,
    Cell,
    CellContext,
    Cost,
    Experiment,
    PairOnDemand,
    RunSettings,
    store_of,
)
from slr.runs.processes import Processes
from slr.runs.records import AnyRecord, Failure
from slr.runs.round import Outcome
from slr.runs.run_experiments import run_pairs
from slr.runs.run_progress import run_progress
from tests.runs.soup_scores import key_of, score, spec_named

T = TypeVar("T")
COUNT = 3
SECONDS = 60
SPECS = [spec_named(name) for name in ("one", "two", "three")]
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
DEAR = "dear"
ITEMS_OF_DEAR = tuple(round(0.91 + item / 100, 2) for item in range(9))
"""Items of the cell that is dealt in parts. Each makes a record."""
RECORDS_OF_A_PAIR = 1 + 1 + len(ALPHAS) + len(ITEMS_OF_DEAR)


@dataclass(frozen=True, kw_only=True)
class InThreads(Processes):
    """A place whose exchange goes through the memory that all threads share."""

    barrier: threading.Barrier
    table: dict[int, Sequence[Any]] = field(compare=False)

    @override
    def gather(self, items: Sequence[T]) -> list[T]:
        self.table[self.index] = items
        self.barrier.wait()
        found = list(itertools.chain.from_iterable(self.table[index] for index in range(self.count)))
        self.barrier.wait()
        return found


@dataclass(frozen=True)
class Settings:
    ratio: float = 0.9


class Work:
    """An experiment on which another one builds, and what its cells did in which thread."""

    def __init__(self, unusable: str = "", failing: str = "") -> None:
        self.unusable, self.failing = unusable, failing
        self.ran: list[tuple[str, str]] = []

    def cell(self, name: str, pair: str, alpha: float, *needs: str) -> Cell:
        def run(context: CellContext) -> Iterator[list[AnyRecord]]:
            if pair == self.unusable:
                raise UnusablePairError(f"{pair}: broken")
            if pair == self.failing:
                raise RuntimeError("broken")
            self.ran.append((pair, name))
            time.sleep(0.01)  # so that other threads get cells too
            yield [score(context, alpha)]

        cost = Cost(layer_evaluations=1, tokens=int(10 * alpha), flops=None)
        keys = [key_of(alpha, pair)]
        return Cell(key=f"{pair}/{name}", record_keys=lambda _: keys, run=run, cost=cost, needs=needs)

    def dear_cell(self, pair: str, *needs: str) -> Cell:
        """A cell of so much work that it is divided."""

        def run(context: CellContext) -> Iterator[list[AnyRecord]]:
            for item in context.share(ITEMS_OF_DEAR, [1.0] * len(ITEMS_OF_DEAR)):
                if key_of(item, pair) in context.results:
                    continue
                if pair == self.failing:
                    raise RuntimeError("broken")
                self.ran.append((pair, f"{DEAR} {item}"))
                time.sleep(0.01)
                yield [score(context, item)]

        return Cell(
            key=f"{pair}/{DEAR}",
            record_keys=lambda _: [key_of(item, pair) for item in ITEMS_OF_DEAR],
            run=run,
            cost=Cost(layer_evaluations=1, tokens=10**6, flops=None),
            needs=needs,
            division="in_parts",
        )

    def experiments(self) -> list[AnyExperiment]:
        first: AnyExperiment = Experiment(
            name="first",
            question="?",
            config=Settings(),
            cells=lambda spec: [self.cell("search", spec.name, 0.9)],
            job_type="search",
        )

        def inputs(results: Any, spec: PairSpec) -> dict[str, Any]:
            if key_of(0.9, spec.name) not in results:
                raise ValueError(f"{spec.name} has not been searched")
            return {}

        def cells(spec: PairSpec) -> list[Cell]:
            early = self.cell("early", spec.name, 0.6)
            late = [self.cell(f"late-{a}", spec.name, a, early.key) for a in ALPHAS]
            return [early, *late, self.dear_cell(spec.name, early.key)]

        return [first, replace(first, name="second", cells=cells, builds_on=first, inputs=inputs)]


@pytest.fixture(autouse=True)
def one_lock_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock belongs to a process, and here the threads are the processes."""
    monkeypatch.setattr("slr.runs.run_experiments.output_lock", lambda *_: nullcontext())


Found = list[tuple[PairSpec, list[Outcome] | ValueError]]


def run_all(work: Work, output_dir: Path, count: int = COUNT) -> list[Found]:
    """What each of the processes found."""
    counters, barrier, table = HashStore(), threading.Barrier(count, timeout=SECONDS), {}

    def run(index: int) -> Found:
        processes = InThreads(index=index, count=count, counters=counters, barrier=barrier, table=table)
        settings = RunSettings(output_dir=output_dir, processes=processes)
        pairs = [PairOnDemand(spec, settings) for spec in SPECS]
        with run_progress("cpu", is_shown=False) as progress:
            return list(run_pairs(work.experiments(), pairs, settings, progress))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def keys_in(work: Work, output_dir: Path) -> set[str]:
    stores = [store_of(experiment, output_dir) for experiment in work.experiments()]
    return {f"{r.experiment} {r.key}" for store in stores for r in store.read() if not isinstance(r, Failure)}


def test_every_cell_of_every_pair_is_done_once_and_again_nothing(tmp_path: Path) -> None:
    work = Work()
    for found in run_all(work, tmp_path):
        assert [(spec.name, len(outcomes)) for spec, outcomes in found if isinstance(outcomes, list)] == [
            (spec.name, 2) for spec in SPECS
        ]
    assert len(work.ran) == len(set(work.ran)) == 3 * RECORDS_OF_A_PAIR
    order = [name for _, name in work.ran]
    assert order[:6] == ["search"] * 3 + ["early"] * 3, "a round of all pairs ends before the next one"
    alone = Work()
    run_all(alone, tmp_path / "alone", count=1)
    assert keys_in(work, tmp_path) == keys_in(alone, tmp_path / "alone")
    again = Work()
    run_all(again, tmp_path)
    assert again.ran == []


def test_a_dear_cell_is_dealt_in_parts_and_goes_on_where_it_failed(tmp_path: Path) -> None:
    class Broken(Work):
        """The dear cell of one pair fails at its last item, in whatever process does it."""

        @override
        def dear_cell(self, pair: str, *needs: str) -> Cell:
            plain = super().dear_cell(pair, *needs)

            def run(context: CellContext) -> Iterator[Sequence[AnyRecord]]:
                for [record] in plain.run(context):
                    if record.key == key_of(ITEMS_OF_DEAR[-1], "two"):
                        raise RuntimeError("broken")
                    yield [record]

            return replace(plain, run=run)

    for found in run_all(Broken(), tmp_path):
        failed = {spec.name: outcomes[1].failed for spec, outcomes in found if isinstance(outcomes, list)}
        assert failed == {"one": [], "two": [f"two/{DEAR}"], "three": []}
    again = Work()
    for found in run_all(again, tmp_path):
        assert not any(
            outcome.failed for _, outcomes in found if isinstance(outcomes, list) for outcome in outcomes
        )
    assert ("two", f"{DEAR} {ITEMS_OF_DEAR[-1]}") in again.ran
    # What followed the failure in its part is done now too; all else was.
    assert {pair for pair, _ in again.ran} == {"two"}
    assert len(again.ran) < len(ITEMS_OF_DEAR)


def test_a_pair_that_cannot_be_used_leaves_the_others_alone(tmp_path: Path) -> None:
    work = Work(unusable="two")
    for found in run_all(work, tmp_path):
        by_name = {spec.name: outcomes for spec, outcomes in found}
        assert isinstance(by_name["two"], UnusablePairError)
        assert all(isinstance(by_name[name], list) for name in ("one", "three"))
    assert len(work.ran) == len(set(work.ran)) == 2 * RECORDS_OF_A_PAIR
    run_all(Work(), tmp_path)
    assert len(keys_in(work, tmp_path)) == 3 * (2 + RECORDS_OF_A_PAIR), "with a configuration of each"


def test_a_pair_whose_search_failed_stops_only_itself(tmp_path: Path) -> None:
    work = Work(failing="one")
    for found in run_all(work, tmp_path):
        by_name = {spec.name: outcomes for spec, outcomes in found}
        with pytest.raises(ValueError, match="one has not been searched"):
            raise by_name["one"] if isinstance(by_name["one"], ValueError) else AssertionError
        assert all(isinstance(by_name[name], list) for name in ("two", "three"))
    assert len(work.ran) == 2 * RECORDS_OF_A_PAIR


def test_only_one_pair_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[int, set[str]] = {}
    most: list[int] = []

    def load(self: PairOnDemand) -> Any:
        mine = held.setdefault(threading.get_ident(), set())
        mine.add(self.spec.name)
        most.append(len(mine))

    def give_up(self: PairOnDemand) -> None:
        held.setdefault(threading.get_ident(), set()).discard(self.spec.name)

    monkeypatch.setattr(PairOnDemand, "get", load)
    monkeypatch.setattr(PairOnDemand, "give_up", give_up)
    work = Work()
    make = work.cell

    def that_loads(name: str, pair: str, alpha: float, *needs: str) -> Cell:
        plain = make(name, pair, alpha, *needs)

        def run(context: CellContext) -> Iterator[Sequence[AnyRecord]]:
            _ = context.pair
            yield from plain.run(context)

        return replace(plain, run=run)

    monkeypatch.setattr(work, "cell", that_loads)
    run_all(work, tmp_path)
    assert set(most) == {1}
    assert not any(held.values())
