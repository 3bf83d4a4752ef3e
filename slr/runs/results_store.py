"""Records on disk: append-only JSON lines, read back by key.

    results/testbed/
      crc_search.jsonl    one record a line (see ``records``). This file is the truth: all else is made from it.
                          Each pair's first line is the configuration that its records were made with
      crc_search.rank1.jsonl
                          the same, written by the second process of a run of several. Each process appends to a
                          file of its own, and every reader reads all of them as one
      wandb/              a mirror of the records, which can be made again

A killed process may leave an unfinished line. It is dropped with a warning, and cut off before the next append. Of
results with the same key the first one counts. Of failures of the same cell the last one counts, but only until the
cell has a newer result. Across files, "first" and "newer" go by the time at which a record's cell began.

A store appends only to a file that is as the store last saw it. It refuses a file that another program removed,
replaced or wrote to.
"""

from __future__ import annotations

import heapq
import logging
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from slr.runs.output_lock import check_still_there
from slr.runs.record_lines import line_of, record_of
from slr.runs.records import AnyRecord, Configuration, Failure

logger = logging.getLogger(__name__)


_FileState = tuple[int, int, int] | None
"""Device, inode and size in bytes of a file; None if there is no file."""


class _NotSeen:
    """Stands in place of a file's state while the state is not known."""


_SHARD_NAME = re.compile(r"(?P<store>.+)\.rank(?P<rank>[1-9]\d*)\.jsonl")


class ResultsStore:
    """The records of one experiment: the file ``path``, and next to it one file for each further process."""

    def __init__(self, path: Path, rank: int = 0) -> None:
        """Name the files; nothing is read or written yet.

        Args:
            path: file of the first process.
            rank: index of the process that appends. The first one, 0, appends to ``path`` itself.
        """
        self.path = path
        self._own_path = path if rank == 0 else path.with_suffix(f".rank{rank}.jsonl")
        self._last_seen: _FileState | _NotSeen = _NotSeen()

    def read(self) -> list[AnyRecord]:
        """Read all records that count, of all processes, in the order in which they were made.

        Raises:
            ValueError: if a line is no record. Only the last line may be unfinished.
        """
        # The state is taken before the lines, so that a line written in between is noticed.
        self._last_seen = _state_of(self._own_path)
        files = [_read_file(path) for path in self.files()]
        return _that_count(heapq.merge(*files, key=_time_and_kind))

    def files(self) -> list[Path]:
        """The files that exist, by rank."""
        ranks = {self.path: 0} if self.path.exists() else {}
        for path in self.path.parent.glob(f"{self.path.stem}.rank*.jsonl"):
            # The glob pattern also finds files that no run wrote, such as a copy named "search.rank1 (old).jsonl".
            shard = _SHARD_NAME.fullmatch(path.name)
            if shard and shard["store"] == self.path.stem:
                ranks[path] = int(shard["rank"])
        return sorted(ranks, key=ranks.__getitem__)

    def keys(self) -> set[str]:
        """The keys of all results; failures have none."""
        return {record.key for record in self.read() if not isinstance(record, Failure)}

    def append(self, records: Iterable[AnyRecord]) -> None:
        """Write records so that they survive a crash of the machine.

        Raises:
            OSError: if they cannot be written, because space or permission is missing; or if another program removed
                or changed the file, or the directory of the run, since this store last saw it.
        """
        lines = "".join(map(line_of, records))
        if not lines:
            return
        check_still_there(self._own_path.parent)
        self._check_unchanged()
        try:
            self._own_path.parent.mkdir(parents=True, exist_ok=True)
            _cut_unfinished_line(self._own_path)
            with self._own_path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            self._last_seen = _state_of(self._own_path)
        except OSError as error:
            self._last_seen = _NotSeen()
            raise OSError(f"records cannot be written to {self._own_path}: {error.strerror}") from error

    def _check_unchanged(self) -> None:
        before, now = self._last_seen, _state_of(self._own_path)
        if isinstance(before, _NotSeen) or before == now:
            return
        what = "removed" if now is None else "made" if before is None else "changed"
        raise OSError(
            f"{self._own_path} was {what} by another program during the run, and nothing more is written to it: "
            "let only one run use its directory, and give the same command again"
        )

    def read_for(
        self, configuration: Configuration, settings_in_records: Collection[str] = ()
    ) -> list[AnyRecord]:
        """Read all records that count, for a run of that configuration to continue.

        Args:
            configuration: the configuration of the run.
            settings_in_records: settings that may differ from the earlier ones; see ``Experiment``.

        Returns:
            The records, in the order in which they were made.

        Raises:
            ValueError: if another configuration made some of the records, or if a line is no record.
        """
        records = self.read()
        differences = _differences(records, configuration, settings_in_records)
        if differences:
            files = self.files()
            raise ValueError(
                f"{', '.join(map(str, files))} holds records of another configuration, and the two must not be "
                f"mixed: {'; '.join(differences)}. Give another --output-dir, or delete "
                f"{'the file' if len(files) == 1 else 'the files'}"
            )
        return records


def stores_in(directory: Path) -> list[ResultsStore]:
    """The stores of all experiments with records in the directory, by name."""
    stores = {_SHARD_NAME.sub(r"\g<store>.jsonl", path.name) for path in directory.glob("*.jsonl")}
    return [ResultsStore(directory / name) for name in sorted(stores)]


def _read_file(path: Path) -> list[AnyRecord]:
    records: list[AnyRecord] = []
    for number, line in enumerate(_complete_lines(path), start=1):
        try:
            records.append(record_of(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number} {error}") from None
    return records


def _complete_lines(path: Path) -> list[bytes]:
    if not path.is_file():
        raise ValueError(
            f"{path} is not a file, expected a file of records: move it away, or give another directory"
        )
    try:
        *complete, unfinished = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"the records in {path} cannot be read: {error.strerror}") from None
    if unfinished:
        logger.warning("%s: dropped an unfinished last line of %d bytes", path, len(unfinished))
    return complete


def _state_of(path: Path) -> _FileState:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_size


def _cut_unfinished_line(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("r+b") as file:
        # A process may have been killed while it wrote. What follows the last line break is not a whole record.
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.truncate(path.read_bytes().rfind(b"\n") + 1)


def _time_and_kind(record: AnyRecord) -> tuple[str, bool]:
    """Sort key. Within one second failures come last, so that another process's result does not clear them."""
    return record.provenance.created_at, isinstance(record, Failure)


def _differences(records: Sequence[AnyRecord], now: Configuration, may_differ: Collection[str]) -> list[str]:
    """Describe each setting that differs between the records' configurations and the present one."""
    found: dict[str, str] = {}
    compared = {now.provenance.config_hash}
    for then in records:
        if isinstance(then, Configuration):
            compared.add(then.provenance.config_hash)
            before, after = _comparable(then, now.pair), _comparable(now, then.pair)
            for name in sorted((before.keys() | after.keys()) - set(may_differ)):
                if before.get(name) != after.get(name):
                    found[name] = f"{name} was {before.get(name)} and is now {after.get(name)}"
            if then.pair == now.pair:
                found |= {phrase: phrase for phrase in changes_of_checkpoints(then, now)}
    others = {record.provenance.config_hash for record in records} - compared
    if others and not found:  # the configuration record that would show the difference is lost
        found["hash"] = f"its hash was {', '.join(sorted(others))} and is now {now.provenance.config_hash}"
    return list(found.values())


def _comparable(configuration: Configuration, other_pair: str) -> dict[str, Any]:
    """The values that a record of the other pair must share. For the same pair, models and inputs are added."""
    values = {**configuration.settings, "dtype": configuration.dtype, "engine": configuration.engine}
    values |= {f"version of {name}": version for name, version in configuration.versions.items()}
    if configuration.pair == other_pair:
        values |= {"base": configuration.base, "instruct": configuration.instruct, **configuration.inputs}
    return values


def changes_of_checkpoints(then: Configuration, now: Configuration) -> list[str]:
    """Describe each part of the two checkpoints that differs between two configurations of a pair."""
    phrases = []
    sides = (("base", then.base_files, now.base_files), ("instruct", then.instruct_files, now.instruct_files))
    for side, before, after in sides:
        if before == after:
            continue
        if before is None or after is None:
            phrases.append(
                f"the earlier files of {side} are not known, because {side} is on the hub or an earlier version of slr "
                "made the records"
            )
            continue
        phrases += [
            f"{part} of {side} changed since {then.provenance.created_at}"
            for part in sorted(before.keys() | after.keys())
            if before.get(part) != after.get(part)
        ]
    return phrases


def _that_count(records: Iterable[AnyRecord]) -> list[AnyRecord]:
    """The first result with each key, then the last failure of each cell that has no newer result."""
    results: dict[str, AnyRecord] = {}
    failures: dict[str, Failure] = {}
    for record in records:
        cell = record.provenance.cell
        if isinstance(record, Failure):
            failures[cell] = record
        else:
            results.setdefault(record.key, record)
            failures.pop(cell, None)  # the cell ran again since, and got further
    return [*results.values(), *failures.values()]
