"""Collections of records: by key, of one pair, and of one kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from slr.runs.records import AnyRecord, Record

RecordT = TypeVar("RecordT", bound=Record)


def of_kind(records: Iterable[Record], kind: type[RecordT]) -> list[RecordT]:
    """The records of one class, in order."""
    return [record for record in records if isinstance(record, kind)]


def of_pair(records: Iterable[RecordT], pair: str) -> list[RecordT]:
    """The records of one pair, in order."""
    return [record for record in records if record.pair == pair]


def by_pair(records: Iterable[RecordT]) -> dict[str, list[RecordT]]:
    """Each pair's records. Pairs and records keep the order in which they occur."""
    pairs: dict[str, list[RecordT]] = {}
    for record in records:
        pairs.setdefault(record.pair, []).append(record)
    return pairs


class RecordsByKey(dict[str, AnyRecord]):
    """Records of an experiment by key, in the order in which they were made."""

    def find(self, kind: type[RecordT], key: str) -> RecordT | None:
        """The record of that class with that key, which the class's ``key_of`` gives; None if it is not there."""
        record = self.get(key)
        assert record is None or isinstance(record, kind), f"{key} is no {kind.__name__}"
        return record

    def of_kind(self, kind: type[RecordT]) -> list[RecordT]:
        """The records of one class, in order."""
        return of_kind(self.values(), kind)

    def of_pair(self, pair: str) -> RecordsByKey:
        """The records of one pair."""
        return RecordsByKey((key, record) for key, record in self.items() if record.pair == pair)
