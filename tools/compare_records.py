"""Compare two directories of results: records field by field, tables cell by cell.

    python tools/compare_records.py BEFORE AFTER

Every ``*.jsonl`` and ``*.csv`` below either directory is compared with the file at the same place below the other.
Records of an earlier schema version are brought to today's first, and tables are read with today's ids. What differs
from run to run is left out: times, memory, commits, versions and devices. Every difference is a line; the exit status
is 1 if there is one.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slr.runs.results_store import ResultsStore, stores_in

Row = list[str]

IGNORED_FIELDS = {"provenance", "seconds", "peak_memory_bytes"}
IGNORED_COLUMNS = {
    "begun",
    "ended",
    "commit",
    "device",
    "versions",
    "seconds",
    "times faster than the loop",
    "peak memory (MB)",
    "measured seconds",
    "measured / estimated",
}
RENAMED_CELLS = {"conditions": "methods", "{}": "[]"}
"""Cells of earlier tables with what they say today, besides the ids of methods."""
SORTED_TABLES = {"settings"}
"""Tables whose rows are in the order of names, some of which were others before."""


def differences(before: Path, after: Path) -> Iterator[str]:
    """Every difference of the two directories, in words.

    Raises:
        ValueError: if neither has records or tables, or a file is damaged.
    """
    places = {path.parent.relative_to(top) for top in (before, after) for path in top.rglob("*.jsonl")}
    tables = {path.relative_to(top) for top in (before, after) for path in top.rglob("*.csv")}
    if not places and not tables:
        raise ValueError(
            f"neither {before} nor {after} has a *.jsonl or *.csv file: expected results or tables"
        )
    for place in sorted(places):
        names = {store.path.name for top in (before, after) for store in stores_in(top / place)}
        for name in sorted(names):
            yield from _of_records(before / place / name, after / place / name)
    for place in sorted(tables):
        yield from _of_tables(before / place, after / place)


def _of_records(before: Path, after: Path) -> Iterator[str]:
    old, new = ({record.key: record for record in ResultsStore(path).read()} for path in (before, after))
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new:
            yield f"{after.name}: {key} is only {'after' if key in new else 'before'}"
            continue
        yield from (
            f"{after.name}: {key}: {what}"
            for what in _of_values("", old[key].model_dump(mode="json"), new[key].model_dump(mode="json"))
        )


def _of_values(name: str, old: Any, new: Any) -> Iterator[str]:
    """What differs in two values of JSON, each part under its name."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted((old.keys() | new.keys()) - IGNORED_FIELDS):
            missing = f"(no {part})"
            yield from _of_values(
                f"{name}.{part}".lstrip("."), old.get(part, missing), new.get(part, missing)
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _of_values(f"{name}[{index}]", left, right)
    elif old != new:
        yield f"{name} was {old!r} and is {new!r}"


def _of_tables(before: Path, after: Path) -> Iterator[str]:
    if not before.is_file() or not after.is_file():
        yield f"{after.name} is only {'after' if after.is_file() else 'before'}"
        return
    (old_columns, *old), (new_columns, *new) = _table(before), _table(after)
    if old_columns != new_columns or len(old) != len(new):
        yield (
            f"{after.name}: {len(old)} rows of {', '.join(old_columns)} are now {len(new)} rows of "
            f"{', '.join(new_columns)}"
        )
        return
    for number, (left, right) in enumerate(zip(old, new, strict=True), start=1):
        for column, was, now in zip(new_columns, left, right, strict=True):
            if was != now:
                yield f"{after.name}, row {number}, {column} was {was!r} and is {now!r}"


def _table(path: Path) -> list[Row]:
    """Columns and rows, less what is ignored, with today's ids."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    kept = [index for index, column in enumerate(columns) if column not in IGNORED_COLUMNS]
    body = [[_today(row[index]) for index in kept] for row in rows]
    return [[columns[index] for index in kept], *(sorted(body) if path.stem in SORTED_TABLES else body)]


def _today(cell: str) -> str:
    """A cell with today's ids: "slr" was the word for the hybrid, alone or at the head of a method's id."""
    ids = [
        f"hybrid{id_.removeprefix('slr')}" if id_ == "slr" or id_.startswith("slr ") else id_
        for id_ in cell.split(", ")
    ]
    return RENAMED_CELLS.get(cell, ", ".join(ids))


def main(argv: Sequence[str] | None = None) -> int:
    """Print every difference; 1 if there is one, 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(argv)
    try:
        found = list(differences(options.before, options.after))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*found, f"{len(found)} differences", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
