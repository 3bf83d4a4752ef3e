"""The processes that share an experiment's work: one, or as many as a launcher started.

``accelerate launch`` and torchrun start the same script several times and tell each process, in the
environment, which one it is. All of them go through the same plan, and exchange what they made by ``gather``,
which everyone must reach; nothing else is communicated, and no model is spread over them.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=30)
"""For the process that has most to do. One that dies is noticed by the launcher, which ends the others."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which of ``count`` processes this is, in all and on this machine; by default the only one."""

    index: int = 0
    count: int = 1
    local_index: int = 0
    local_count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the one that draws, mirrors and shows progress."""
        return self.index == 0

    def gather(self, items: Sequence[T]) -> list[T]:
        """The items of all processes, those of the first one first. Every process must call this."""
        if self.count == 1:
            return list(items)
        from accelerate.utils import gather_object

        return gather_object(list(items))

    def from_main(self, make: Callable[[], T]) -> T:
        """What the main process makes, for all: so they go on from the same, whatever a file system caches."""
        [made] = self.gather([make()] if self.is_main else [])
        return made

    def wait_for_everyone(self) -> None:
        """Return when every process has called this."""
        self.gather([])

    def share(self, items: Sequence[T], costs: Sequence[float]) -> list[T]:
        """The part of the items that is for this process, in order; each item is in one process's part."""
        return [items[index] for index in divide(costs, self.count)[self.index]]


ALONE = Processes()
"""No other process."""


def divide(costs: Sequence[float], num_parts: int) -> list[list[int]]:
    """Indices of items, divided into parts of about the same cost: dearest first, each to the cheapest part."""
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    by_cost = [(0.0, number) for number in range(num_parts)]
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        cost, number = by_cost[0]
        parts[number].append(index)
        heapq.heapreplace(by_cost, (cost + costs[index], number))
    return [sorted(part) for part in parts]


def launched_processes() -> Processes:
    """Those that the launcher started, connected; alone, and without importing anything, where there is none.

    They are connected over gloo, also where there are GPUs: only records are exchanged, and NCCL would give
    up waiting after minutes.

    Raises:
        ValueError: if the environment names no process of a launcher. Without a rank, for one, every process would be
            the first, and wait ``LONGEST_WAIT`` for the others.
    """
    count = _number_of("WORLD_SIZE", 1, 10**6, missing=1)
    if count == 1:
        return ALONE
    _number_of("RANK", 0, count - 1)
    _number_of("MASTER_PORT", 1, 2**16 - 1)
    if not os.environ.get("MASTER_ADDR"):
        raise _no_launcher("MASTER_ADDR", "the first process's machine")
    local_count = _number_of("LOCAL_WORLD_SIZE", 1, count, missing=1)
    _number_of("LOCAL_RANK", 0, local_count - 1, missing=0)

    from accelerate import PartialState

    state = PartialState(cpu=True, backend="gloo", timeout=LONGEST_WAIT)
    return Processes(
        index=state.process_index,
        count=state.num_processes,
        local_index=state.local_process_index,
        local_count=local_count,
    )


def _number_of(variable: str, lowest: int, highest: int, missing: int | None = None) -> int:
    """The number in an environment variable; ``missing`` where it is not set."""
    text = os.environ.get(variable, "" if missing is None else str(missing)).strip()
    if not (text.isdecimal() and len(text) < 10 and lowest <= int(text) <= highest):
        raise _no_launcher(variable, f"a number from {lowest} to {highest}")
    return int(text)


def _no_launcher(variable: str, expected: str) -> ValueError:
    found = f"is {os.environ[variable][:40]!r}" if variable in os.environ else "is not set"
    beside = "" if variable == "WORLD_SIZE" else f" beside WORLD_SIZE={os.environ['WORLD_SIZE']}"
    return ValueError(
        f"{variable} {found}{beside}, expected {expected}: unset WORLD_SIZE, or start the script with accelerate "
        "launch, which sets all of them"
    )
