"""The processes that share an experiment's work: one, or several that a launcher started.

``accelerate launch`` and torchrun start the same script several times. Environment variables give each process its
number. All processes go through the same plan. They take cells from one counter with ``deal``, and exchange their
results with ``gather``; every one of them must call both. They exchange nothing else, and no model is spread over them.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=30)
"""Longest time that a process waits for the slowest one. If one dies, the launcher ends the others earlier."""


class Counters(Protocol):
    """Numbers that all processes see, as torch's stores keep them."""

    def add(self, key: str, amount: int, /) -> int:
        """Add to a number, which is 0 at first, and return the sum; no other process can add in between."""
        ...


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The place of this process among the launched ones; by default it is the only one.

    Attributes:
        index: number of this process, from 0.
        count: number of processes.
        local_index: number of this process among the processes on its machine, from 0.
        local_count: number of processes on this machine.
        counters: numbers that all processes see; None for a lone process.
    """

    index: int = 0
    count: int = 1
    local_index: int = 0
    local_count: int = 1
    counters: Counters | None = field(default=None, repr=False, compare=False)
    _deals: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False, compare=False)

    @property
    def is_main(self) -> bool:
        """Whether this process draws, mirrors and shows progress."""
        return self.index == 0

    def gather(self, items: Sequence[T]) -> list[T]:
        """Collect the items of all processes, in the order of the processes; every process must call this."""
        # A lone process exchanges nothing, so it does not import torch.
        if self.count == 1:
            return list(items)
        from torch.distributed import all_gather_object

        gathered: list[list[T]] = [[] for _ in range(self.count)]
        with _told_if_another_ended():
            all_gather_object(gathered, list(items))
        return list(itertools.chain.from_iterable(gathered))

    def from_main(self, make: Callable[[], T]) -> T:
        """Call ``make`` on the main process and give every process the result.

        All processes then go on from equal data, even if a network file system shows them different files.
        """
        [made] = self.gather([make()] if self.is_main else [])
        return made

    def wait_for_everyone(self) -> None:
        """Wait until every process has called this."""
        self.gather([])

    def deal(self, items: Sequence[T], costs: Sequence[float]) -> Iterator[T]:
        """Hand out items one at a time; every process must call this with the same items.

        A process gets its next item when it asks for it, the dearest ones first. So no process waits for the others
        longer than one item takes, however wrong the costs are. A lone process gets all items in their own order.

        Args:
            items: items to hand out; each one goes to exactly one process.
            costs: estimated cost of each item, in any unit.

        Yields:
            The next item for this process.
        """
        if self.counters is None:
            yield from items
            return
        counter = f"slr deal {next(self._deals)}"
        order = sorted(range(len(items)), key=lambda index: -costs[index])
        while (place := self._count(self.counters, counter)) < len(order):
            yield items[order[place]]

    @staticmethod
    def _count(counters: Counters, name: str) -> int:
        with _told_if_another_ended():
            return counters.add(name, 1) - 1


@contextmanager
def _told_if_another_ended() -> Generator[None]:
    """Say in one line that another process ended, because torch would say it in many.

    Raises:
        ConnectionError: if one did.
    """
    try:
        yield
    except RuntimeError:
        raise ConnectionError(
            "another process of this run ended, so this one ends too: the other one's message says why"
        ) from None


ALONE = Processes()
"""The place of a process without any others."""


PARTS_OF_A_PROCESS = 16
"""Number of parts into which a process's work is divided at least, so that it waits for one of them at most."""


def count_parts(costs: Sequence[float], num_processes: int) -> list[int]:
    """Say into how many parts to divide each item before the items are dealt.

    A lone process divides nothing.

    Args:
        costs: estimated cost of each item, in any unit.
        num_processes: number of processes that share the items.

    Returns:
        One number for each item.
    """
    if num_processes == 1:
        return [1] * len(costs)
    largest = sum(costs) / (num_processes * PARTS_OF_A_PROCESS)
    return [max(1, math.ceil(cost / largest)) if largest else 1 for cost in costs]


def divide(costs: Sequence[float], num_parts: int) -> list[list[int]]:
    """Divide items into parts of about the same cost, as lists of their indices.

    The most expensive items are placed first, each into the part that is cheapest so far.
    """
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    by_cost = [(0.0, number) for number in range(num_parts)]
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        cost, number = by_cost[0]
        parts[number].append(index)
        heapq.heapreplace(by_cost, (cost + costs[index], number))
    return [sorted(part) for part in parts]


def launched_processes() -> Processes:
    """Connect to the other processes that a launcher started; without a launcher, import nothing.

    Raises:
        ValueError: if an environment variable of the launcher is missing or wrong.
    """  # noqa: DOC501 - _no_launcher makes a ValueError
    # Every variable is checked here. Without a rank, for example, every process would take itself for the first one and
    # wait LONGEST_WAIT for the others.
    count = _number_of("WORLD_SIZE", 1, 10**6, missing=1)
    if count == 1:
        return ALONE
    _number_of("RANK", 0, count - 1)
    _number_of("MASTER_PORT", 1, 2**16 - 1)
    if not os.environ.get("MASTER_ADDR"):
        raise _no_launcher("MASTER_ADDR", "the first process's machine")
    local_count = _number_of("LOCAL_WORLD_SIZE", 1, count, missing=1)
    _number_of("LOCAL_RANK", 0, local_count - 1, missing=0)

    from torch.distributed import init_process_group
    from torch.distributed.rendezvous import rendezvous

    store, index, _ = next(rendezvous("env://", timeout=LONGEST_WAIT))
    # The processes are connected over gloo, even on GPUs, because they exchange records only and NCCL would give up
    # waiting after minutes.
    init_process_group("gloo", store=store, rank=index, world_size=count, timeout=LONGEST_WAIT)
    return Processes(
        index=index,
        count=count,
        local_index=_number_of("LOCAL_RANK", 0, local_count - 1, missing=0),
        local_count=local_count,
        counters=store,
    )


def _number_of(variable: str, lowest: int, highest: int, missing: int | None = None) -> int:
    """Read a number from an environment variable; ``missing`` is taken if the variable is not set.

    Raises:
        ValueError: if it is no number from ``lowest`` to ``highest``.
    """  # noqa: DOC501 - _no_launcher makes a ValueError
    text = os.environ.get(variable, "" if missing is None else str(missing)).strip()
    if not (text.isdecimal() and len(text) < 10 and lowest <= int(text) <= highest):
        raise _no_launcher(variable, f"a number from {lowest} to {highest}")
    return int(text)


def _no_launcher(variable: str, expected: str) -> ValueError:
    """Make the error for a variable that no launcher would set so."""
    found = f"is {os.environ[variable][:40]!r}" if variable in os.environ else "is not set"
    beside = "" if variable == "WORLD_SIZE" else f" and WORLD_SIZE is {os.environ['WORLD_SIZE']}"
    return ValueError(
        f"{variable} {found}{beside}, expected {expected}: unset WORLD_SIZE, or start the script with accelerate "
        "launch, which sets all these variables"
    )
