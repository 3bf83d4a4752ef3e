"""Records from Weights & Biases, written as they lie on disk: the source of ``make_all.py --wandb``.

    results/from_wandb/ENTITY/PROJECT/
      artifacts/NAME/DIGEST/       an artifact as it was downloaded; it is not downloaded again
      records/PRESET/              EXPERIMENT.jsonl: the records of all the preset's pairs
      records/search_cost/         next to them, as in results/
      records/PAIR/                of a pair that is in no preset

The latest version of every artifact of the type "records" is fetched. ``slr.runs.tracking`` makes one for each
experiment and pair. Its records say which experiment and pair it belongs to, and the preset follows from the pair.
Smoke runs have artifacts of another type. Failures are not mirrored, so a pair that failed counts as not finished.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from slr.files.names import check_file_name
from slr.models.presets import PRESETS, preset_of
from slr.runs.records import AnyRecord, Configuration
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from slr.runs.run_content import RECORDS
from slr.runs.wandb_files import log_in, wandb_files_below
from slr.terminal.literal_text import visible

SEARCH_COST = "search_cost"
"""Name of an experiment on pairs of its own, and of its directory."""


class Named(Protocol):
    """An artifact type or collection of W&B."""

    @property
    def name(self) -> str:
        """The name, which is unique in the project."""
        ...


class Artifact(Protocol):
    """A version of an artifact. Equal digests mean equal files."""

    @property
    def digest(self) -> str:
        """Digest of all its files."""
        ...

    def download(self, root: str, *, skip_cache: bool) -> object:
        """Write its files into a directory."""
        ...


class Api(Protocol):
    """The part of ``wandb.Api`` that is used."""

    def artifact_types(self, project: str) -> Iterable[Named]:
        """The types that the project has.

        Raises:
            ValueError: if there is no such project.
        """
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
        project: the project, written ENTITY/PROJECT.
        results_dir: directory of results. Only ``from_wandb/ENTITY/PROJECT`` in it is changed.

    Returns:
        The directory that holds a directory of records for each preset.

    Raises:
        ValueError: if W&B knows no account or cannot be reached; if there is no such project or no record in it; or if
            pairs of one experiment were measured with different settings.
    """
    directory = results_dir.joinpath("from_wandb", *split_project(project))
    with wandb_files_below(directory, "online"), told_in_one_line(project):
        log_in()
        downloaded = _download_missing(connect(), project, directory / "artifacts")
    records_dir = directory / "records"
    shutil.rmtree(records_dir, ignore_errors=True)  # records of an earlier call may have been deleted in W&B
    _put_back(downloaded, records_dir)
    return records_dir


def split_project(project: str) -> tuple[str, str]:
    """Split a project written ENTITY/PROJECT into entity and name.

    Raises:
        ValueError: if it is not written so, or if a part cannot be the name of a directory.
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
def told_in_one_line(project: str) -> Generator[None]:
    """Turn errors of W&B into one line that names the project.

    Raises:
        ValueError: for every error of W&B.
    """
    import wandb

    try:
        yield
    except wandb.Error as error:
        raise ValueError(f"W&B does not give {project}: {error}") from error


def connect() -> Api:
    """Open W&B's public API for the account that is logged in."""
    import wandb

    return wandb.Api()


def _download_missing(api: Api, project: str, directory: Path) -> list[Path]:
    """Download what is not there; return the file of the latest version of each artifact of records."""
    files, new = [], 0
    for name in _artifact_names(api, project):
        artifact = api.artifact(f"{project}/{name}:latest", type=RECORDS)
        what = f"the W&B artifact {name!r} of {project}"
        # Names and digests come from a server, and become parts of a path.
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
            f"there are no records in the W&B project {project}: run experiments with --wandb online, or send offline "
            "runs there with `wandb sync`"
        )
    return sorted(names)


def _download(artifact: Artifact, target: Path) -> None:
    """Download an artifact as a whole or not at all."""
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    artifact.download(str(unfinished), skip_cache=True)
    # Last of all, because a directory of that name counts as downloaded.
    unfinished.rename(target)


def _check_entries(artifact: Artifact, what: str) -> None:
    """Check, before any file is fetched, that the artifact's own list of files has only files of its own.

    Raises:
        ValueError: if a file is elsewhere, or its name cannot be a file's.
    """
    entries: Mapping[str, Any] = getattr(getattr(artifact, "manifest", None), "entries", {})
    for name, entry in entries.items():
        check_file_name(name, f"a file of {what}")
        if getattr(entry, "ref", None) is not None:
            raise ValueError(
                f"the file {name!r} of {what} is a reference to another place: expected records; delete the artifact"
            )


def _files_of_records(directory: Path, what: str) -> list[Path]:
    """The files of a downloaded artifact, which must be plain files directly in the directory.

    Raises:
        ValueError: if there is anything else.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            check_file_name(entry.name, f"a file of {what}")
            if not entry.is_file(follow_symlinks=False) or not entry.name.endswith(".jsonl"):
                raise ValueError(
                    f"{entry.name!r} in {what} is a link, a directory or not a file of records: expected only *.jsonl; "
                    "delete the artifact"
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
    """Check that a file holds one experiment's records of one pair, and has their names.

    Raises:
        ValueError: if it does not.
    """
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
    """The records in the order in which they were made, as in one file. Within a second, pairs go as in the presets."""
    places = [spec.name for preset in PRESETS.values() for spec in preset.pairs]

    def place(records: Sequence[AnyRecord]) -> tuple[int, str]:
        pair = records[0].pair
        return (places.index(pair) if pair in places else len(places), pair)

    records = [record for of_pair in sorted(of_pairs, key=place) for record in of_pair]
    return sorted(records, key=lambda record: record.provenance.created_at)


def _check_settings(store: ResultsStore) -> None:
    """Check that the pairs of an experiment have the same settings, as for a local file.

    Raises:
        ValueError: if they have different settings.
    """
    configurations = of_kind(store.read(), Configuration)
    # Each configuration is compared with all records, because none of them is a present run's.
    for configuration in configurations:
        try:
            store.read_for(configuration)
        except ValueError as error:
            pairs = ", ".join(dict.fromkeys(c.pair for c in configurations))
            raise ValueError(
                f"the latest runs of {configuration.experiment} in W&B (pairs {pairs}) have different settings, and "
                "one table cannot show both: run and mirror all these pairs with the same settings"
            ) from error
