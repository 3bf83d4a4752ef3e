"""Ranges of token slots in one block of memory: each text has one, as long as it needs, and gives it back."""

from __future__ import annotations

import bisect
from collections.abc import Sequence


class Slots:
    """The free ranges of a number of slots.

    Each text's range has no gaps, because attention reads it as one piece.
    """

    def __init__(self, count: int) -> None:
        """Make all slots free."""
        self._free = [(0, count)] if count else []

    @property
    def num_free(self) -> int:
        """Number of free slots, in all ranges together."""
        return sum(size for _, size in self._free)

    def take(self, size: int) -> int | None:
        """Take the first free range that is long enough.

        Returns:
            Its first slot; None if no range is long enough.
        """
        for place, (start, free) in enumerate(self._free):
            if free >= size:
                self._free[place : place + 1] = [(start + size, free - size)] if free > size else []
                return start
        return None

    def give_back(self, start: int, size: int) -> None:
        """Free a range, and join it with the free ranges next to it."""
        place = bisect.bisect(self._free, (start, size))
        if place < len(self._free) and self._free[place][0] == start + size:
            size += self._free.pop(place)[1]
        if place and sum(self._free[place - 1]) == start:
            place -= 1
            before, more = self._free.pop(place)
            start, size = before, size + more
        self._free.insert(place, (start, size))

    def compact(self, taken: Sequence[tuple[int, int]]) -> list[int]:
        """Move all taken ranges to the front, so that the free slots are one range.

        Args:
            taken: start and size of every taken range, in the order of their starts.

        Returns:
            The new start of each, which is never after the old one.
        """
        total = self.num_free + sum(size for _, size in taken)
        starts, end = [], 0
        for _, size in taken:
            starts.append(end)
            end += size
        self._free = [(end, total - end)] if end < total else []
        return starts
