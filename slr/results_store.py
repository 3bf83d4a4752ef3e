"""Records on disk: append-only JSON lines, read back by key.

    results/testbed/
      crc_search.jsonl    one record a line (see ``records``); this is the truth, all else is made from it.
                          Each pair's first line is the configuration that its records were made with
      wandb/              a mirror of it, which can be made again

A line that a killed process left unfinished is dropped, with a warning, and cut off before the next
append. Of results with the same key the first counts, of failures of the same cell the last; a failure counts
only until its cell has a newer result.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slr.records import RECORD_ADAPTER, AnyRecord, Configuration, Failure

logger = logging.getLogger(__name__)


class ResultsStore:
    """The records of one experiment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[AnyRecord]:
        """All records that count, in the order in which they were appended.

        Raises:
            ValueError: if a line other than an unfinished last one is no record.
        """
        records: list[AnyRecord] = []
        for number, line in enumerate(self._complete_lines(), start=1):
            try:
                records.append(RECORD_ADAPTER.validate_json(line))
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise ValueError(
                    f"{self.path}, line {number} is no record of this version ({where}: {problem['msg']}); "
                    "mend the line, or delete the file to start anew"
                ) from None
        return _that_count(records)

    def keys(self) -> set[str]:
        """Keys of all results; a failure is none."""
        return {record.key for record in self.read() if not isinstance(record, Failure)}

    def append(self, records: Iterable[AnyRecord]) -> None:
        """Write records so that they outlast a crash of the machine.

        Raises:
            OSError: if they cannot be written, for lack of space or of the permission.
        """
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        if not lines:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._cut_unfinished_line()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(f"records cannot be written to {self.path}: {error.strerror}") from error

    def read_for(self, configuration: Configuration) -> list[AnyRecord]:
        """All records that count, for a run of that configuration to go on from.

        Raises:
            ValueError: if another configuration made some of them, or a line is no record.
        """
        records = self.read()
        differences = _differences(records, configuration)
        if differences:
            raise ValueError(
                f"{self.path} holds records of another configuration, and the two must not be mixed: "
                f"{'; '.join(differences)}. Give another --output-dir, or delete the file"
            )
        return records

    def _complete_lines(self) -> list[str]:
        if not self.path.exists():
            return []
        *complete, unfinished = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        if unfinished:
            logger.warning("%s: dropped an unfinished last line of %d bytes", self.path, len(unfinished))
        return complete

    def _cut_unfinished_line(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.truncate(self.path.read_bytes().rfind(b"\n") + 1)


def _differences(records: Sequence[AnyRecord], now: Configuration) -> list[str]:
    """In what the records' configuration was another one than now, a phrase each."""
    found: dict[str, str] = {}
    for then in records:
        if isinstance(then, Configuration):
            before, after = _comparable(then, now.pair), _comparable(now, then.pair)
            for name in sorted(before.keys() | after.keys()):
                if before.get(name) != after.get(name):
                    found[name] = f"{name} was {before.get(name)} and is now {after.get(name)}"
    config_hash = now.provenance.config_hash
    others = {record.provenance.config_hash for record in records} - {config_hash}
    if others and not found:  # the record that would say what was different is lost
        found["hash"] = f"its hash was {', '.join(sorted(others))} and is now {config_hash}"
    return list(found.values())


def _comparable(configuration: Configuration, other_pair: str) -> dict[str, Any]:
    """What must be the same in a record of the other pair: of the same pair, the checkpoints too."""
    values = {**configuration.settings, "dtype": configuration.dtype}
    if configuration.pair == other_pair:
        values |= {
            "base": configuration.base,
            "weights of base": configuration.base_weights,
            "instruct": configuration.instruct,
            "weights of instruct": configuration.instruct_weights,
            **configuration.inputs,
        }
    return values


def _that_count(records: Iterable[AnyRecord]) -> list[AnyRecord]:
    results: dict[str, AnyRecord] = {}
    failures: dict[str, Failure] = {}
    for record in records:
        cell = record.provenance.cell
        if isinstance(record, Failure):
            failures[cell] = record
        else:
            results.setdefault(record.key, record)
            failures.pop(cell, None)  # tried again since, and got further
    return [*results.values(), *failures.values()]
