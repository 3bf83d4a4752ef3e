"""Records out of Weights & Biases, put back as they lie on disk: what ``make_all.py --wandb`` builds from.

    results/from_wandb/ENTITY/PROJECT/
      artifacts/NAME/DIGEST/       an artifact as it was downloaded; what is there is not downloaded again
      records/PRESET/              EXPERIMENT.jsonl: the records of all the preset's pairs
      records/search_cost/         beside them, as in results/
      records/PAIR/                of a pair that is in no preset

The latest version of every artifact of the type "records" is taken: one for each experiment and pair
(``slr.runs.tracking`` makes them). Which experiment and pair it belongs to is read in its records, and the preset
follows from the pair. Smoke runs have artifacts of another type. Failures are not mirrored, so a pair that
failed counts as not finished.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from slr.files.names import check_file_name
from slr.models.presets import PRESETS, preset_of
from slr.runs.records import AnyRecord, Configuration
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from slr.runs.tracking import RECORDS, log_in, wandb_files_below
from slr.terminal.literal_text import visible

SEARCH_COST = "search_cost"
"""An experiment on pairs of its own, with a directory of its own."""


class Named(Protocol):
    """An artifact type or collection of W&B."""

    @property
    def name(self) -> str:
        """Unique in the project."""
        ...


class Artifact(Protocol):
    """A version of an artifact. Equal digests mean equal files."""

    @property
    def digest(self) -> str:
        """Of all its files."""
        ...

    def download(self, root: str, *, skip_cache: bool) -> object:
        """Write its files into a directory."""
        ...


class Api(Protocol):
    """What is used of ``wandb.Api``."""

    def artifact_types(self, project: str) -> Iterable[Named]:
        """Those that the project has; raises ``ValueError`` if there is no such project."""
        ...

    def artifact_collections(self, project_name: str, type_name: str) -> Iterable[Named]:
        """The artifacts of a type, each with all its versions."""
        ...

    def artifact(self, name: str, type: str) -> Artifact:
        """The version ENTITY/PROJECT/NAME:ALIAS."""
        ...


def fetch_records(project: str, results_dir: Path) -> Path:
    """Fetch the records of all runs in a W&B project.

    Args:
        project: written ENTITY/PROJECT.
        results_dir: they go to ``from_wandb/ENTITY/PROJECT`` in it; nothing else there is touched.

    Returns:
        The directory that holds a directory of records for each preset.

    Raises:
        ValueError: if W&B knows no account or cannot be reached, there is no such project or no record in it, or
            pairs of one experiment were measured with different settings.
    """
    directory = results_dir.joinpath("from_wandb", *split_project(project))
    with wandb_files_below(directory, "online"), told_in_one_line(project):
        log_in()
        downloaded = _download_missing(connect(), project, directory / "artifacts")
    records_dir = directory / "records"
    shutil.rmtree(records_dir, ignore_errors=True)  # what was put there before may be gone in W&B
    _put_back(downloaded, records_dir)
    return records_dir


def split_project(project: str) -> tuple[str, str]:
    """Entity and name of a project written ENTITY/PROJECT.

    Raises:
        ValueError: if it is not.
    """
    entity, _, name = project.partition("/")
    try:
        check_file_name(entity, "the entity")
        check_file_name(name, "the project")
    except ValueError as error:
        raise ValueError(
            f"--wandb is {project!r}, expected ENTITY/PROJECT, such as my-team/slr: {error}"
        ) from None
    return entity, name


@contextmanager
def told_in_one_line(project: str) -> Iterator[None]:
    """Turn what W&B raises into ``ValueError``, with the project that was asked for."""
    import wandb

    try:
        yield
    except wandb.Error as error:
        raise ValueError(f"W&B does not give {project}: {error}") from error


def connect() -> Api:
    """W&B's public API, for the account that is logged in."""
    import wandb

    return wandb.Api()


def _download_missing(api: Api, project: str, directory: Path) -> list[Path]:
    """The one file of the latest version of each artifact of records."""
    files, new = [], 0
    for name in _artifact_names(api, project):
        artifact = api.artifact(f"{project}/{name}:latest", type=RECORDS)
        what = f"the W&B artifact {name!r} of {project}"
        check_file_name(name, f"the name of {what}")
        target = directory / name / check_file_name(artifact.digest, f"the digest of {what}")
        if not target.exists():
            _check_entries(artifact, what)
            _download(artifact, target)
            new += 1
        files += _files_of_records(target, what)
    told = f"{project}: {new} of {len(files)} artifacts downloaded, the others are there"
    print(visible(told), file=sys.stderr)
    return files


def artifact_types(api: Api, project: str) -> list[str]:
    """The types of artifacts in a project.

    Raises:
        ValueError: if there is no such project.
    """
    try:
        return [type_.name for type_ in api.artifact_types(project)]
    except ValueError as error:
        raise ValueError(f"W&B has no project {project}, or this account may not read it") from error


def _artifact_names(api: Api, project: str) -> list[str]:
    found = RECORDS in artifact_types(api, project)
    names = [collection.name for collection in api.artifact_collections(project, RECORDS)] if found else []
    if not names:
        raise ValueError(
            f"there are no records in the W&B project {project}: run experiments with --wandb online, or send those "
            "of offline runs there with `wandb sync`"
        )
    return sorted(names)


def _download(artifact: Artifact, target: Path) -> None:
    """Download whole or not at all."""
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    artifact.download(str(unfinished), skip_cache=True)
    unfinished.rename(target)


def _check_entries(artifact: Artifact, what: str) -> None:
    """See that the artifact's own list, where it has one, names files of its own, before any is fetched."""
    entries: Mapping[str, Any] = getattr(getattr(artifact, "manifest", None), "entries", {})
    for name, entry in entries.items():
        check_file_name(name, f"a file of {what}")
        if getattr(entry, "ref", None) is not None:
            raise ValueError(
                f"the file {name!r} of {what} is a reference to another place: expected records; delete the artifact"
            )


def _files_of_records(directory: Path, what: str) -> list[Path]:
    """The files of a downloaded artifact: plain ones, in no directory of their own.

    Raises:
        ValueError: if there is anything else.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            check_file_name(entry.name, f"a file of {what}")
            if not entry.is_file(follow_symlinks=False) or not entry.name.endswith(".jsonl"):
                raise ValueError(
                    f"{entry.name!r} in {what} is a link, a directory or no file of records: expected *.jsonl "
                    "alone; delete the artifact"
                )
            found.append(Path(entry.path))
    return found


def _put_back(files: Sequence[Path], records_dir: Path) -> None:
    parts: dict[Path, list[list[AnyRecord]]] = defaultdict(list)
    for file in files:
        records = ResultsStore(file).read()
        if records:
            _check_names(records, file)
            parts[records_dir / _directory_of(records[0]) / file.name].append(records)
    for path, of_pairs in parts.items():
        store = ResultsStore(path)
        store.append(_in_order(of_pairs))
        _check_settings(store)


def _check_names(records: Sequence[AnyRecord], file: Path) -> None:
    """See that a file holds what its mirror wrote: one experiment's records of one pair, named by both."""
    what = f"the W&B artifact {file.parent.parent.name!r}"
    check_file_name(records[0].pair, f"the pair's name in {what}")
    check_file_name(records[0].experiment, f"the experiment's name in {what}")
    written = {(record.experiment, record.pair) for record in records}
    if len(written) > 1 or file.name != f"{records[0].experiment}.jsonl":
        raise ValueError(
            f"{what} has {len(written)} experiments and pairs in {file.name!r}: expected one experiment's records of "
            "one pair in EXPERIMENT.jsonl; delete the artifact, or mirror the run again"
        )


def _directory_of(record: AnyRecord) -> str:
    if record.experiment == SEARCH_COST:
        return SEARCH_COST
    return preset_of(record.pair) or record.pair


def _in_order(of_pairs: Iterable[Sequence[AnyRecord]]) -> list[AnyRecord]:
    """In the order in which they were made, as if in one file; what is of one second, in the preset's."""
    places = [spec.name for preset in PRESETS.values() for spec in preset.pairs]

    def place(records: Sequence[AnyRecord]) -> tuple[int, str]:
        pair = records[0].pair
        return (places.index(pair) if pair in places else len(places), pair)

    records = [record for of_pair in sorted(of_pairs, key=place) for record in of_pair]
    return sorted(records, key=lambda record: record.provenance.created_at)


def _check_settings(store: ResultsStore) -> None:
    """Hold pairs together to the rule that a local file is held to."""
    configurations = of_kind(store.read(), Configuration)
    for configuration in configurations:
        try:
            store.read_for(configuration)
        except ValueError as error:
            pairs = ", ".join(dict.fromkeys(c.pair for c in configurations))
            raise ValueError(
                f"the latest runs of {configuration.experiment} in W&B (pairs {pairs}) have different settings, and "
                "one table cannot show both: run and mirror all these pairs with the same ones"
            ) from error
