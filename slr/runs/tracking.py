"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth. A mirror is made from them at the end, and can be made again. Offline, nothing is
sent and no account is needed. Look at an offline mirror with ``wandb leet OUTPUT_DIR/wandb``, and send it later with
``wandb sync OUTPUT_DIR/wandb/offline-run-*``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*/    the runs
    wandb/staging/          artifacts and caches
    wandb/mirrored.json     what each run shows, so that an unchanged result makes no second run

docs/wandb.md explains the names:

    run                 EXPERIMENT/PAIR, in the group EXPERIMENT, with the experiment's job type; verdicts/PAIR has the
                        verdicts on the claims, from the records of all experiments, and the figures
    tags                family; preset, if the pair belongs to one; "smoke" for a smoke run
    config              family, preset and size ("full" or "smoke"), to group and filter by; all else is below them
    metric              EXPERIMENT/[GROUP/]METHOD/METRIC; a GROUP is a genre or a benchmark, for example
    table, curve        EXPERIMENT/NAME, EXPERIMENT/NAME/COLUMN
    picture             figures/NAME
    artifact            EXPERIMENT-PAIR of the type "records", with the file EXPERIMENT.jsonl. A smoke run has
                        EXPERIMENT-PAIR-smoke of the type "smoke-records", so that nobody takes it for a result.
                        A pair's name is cleaned if it is long or has characters that W&B refuses. It then ends in a
                        digest of the true name, which the records keep

The run's id follows from experiment, pair and configuration. Therefore a mirror that is made again replaces the older
one on a server.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from slr.files.whole import write_whole
from slr.models.presets import preset_of
from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, RunMirror, store_of
from slr.runs.modes import WandbMode
from slr.runs.records import AnyRecord, Failure, PairInfo
from slr.terminal.literal_text import visible

PROJECT = "slr"
VERDICTS = "verdicts"
"""Name of the runs that say what all experiments together show of the claims."""
RECORDS = "records"
"""Type of an artifact with results."""
SMOKE_RECORDS = "smoke-records"
"""Type of an artifact of a smoke run, whose numbers mean nothing."""

SPARE_BYTES = 2**16
"""Number of bytes that must still fit on the disk: on top of a run's known size before it, and at its end."""
LONGEST_PAIR_NAME = 64
"""Number of characters of a pair in an artifact's name. W&B allows 128 characters in all."""
LONGEST_RUN_NAME = 128
"""Number of characters that W&B allows in a run's name."""
_UNFIT_FOR_ARTIFACTS = re.compile(r"[^A-Za-z0-9._-]")

OFFLINE_INSTEAD = "Or choose offline, and send the runs later with `wandb sync`"


def check_account(mode: WandbMode, output_dir: Path) -> None:
    """Check the W&B account before any work is done for it; do nothing unless the mode is ``online``.

    Raises:
        ValueError: if W&B knows no key, or the server refuses it or cannot be reached.
    """
    if mode != "online":
        return
    try:
        with wandb_files_below(output_dir, mode):
            log_in()
    except ValueError as error:
        with suppress(OSError):  # a refused run leaves no directories behind, unless they hold earlier runs
            for directory in ("wandb/staging", "wandb"):
                (output_dir / directory).rmdir()
        raise ValueError(f"{error}. {OFFLINE_INSTEAD}") from None


def log_in() -> None:
    """Log in with the account that W&B knows, without a question to the user.

    Raises:
        ValueError: if W&B knows no key, or the server refuses it or cannot be reached.
    """
    import wandb

    try:
        known = wandb.login(prompt=False)
    except wandb.Error as error:
        raise ValueError(f"W&B cannot be used online: {error}") from None
    if not known:
        raise ValueError("W&B knows no account: run `wandb login` first")


def mirror_pair(
    experiment: AnyExperiment,
    spec: PairSpec,
    output_dir: Path,
    mode: WandbMode,
    images: Sequence[Path] = (),
    smoke: bool = False,
) -> bool:
    """Mirror one pair's records to a run of its own, unless nothing has changed since the last time.

    A failure of W&B is reported on stderr and otherwise ignored, because no result is lost. A full disk is an error,
    because W&B itself would write half a mirror and report success.

    Args:
        experiment: the experiment that was run.
        spec: the pair.
        output_dir: directory of the records.
        mode: ``offline`` touches no network; ``disabled`` does nothing.
        images: pictures to show. A call without any keeps the pictures of an earlier call.
        smoke: whether the numbers mean nothing. The run then says this.

    Returns:
        Whether a run was made.

    Raises:
        DiskError: if the mirror cannot be written below ``output_dir``.
    """
    if mode == "disabled":
        return False
    with _failure_told(f"{experiment.name}/{spec.name}"):
        records = [
            record
            for record in store_of(experiment, output_dir).read()
            if record.pair == spec.name and not isinstance(record, Failure)
        ]
        if records:
            run = _run_of_records(experiment, spec, records, images, smoke)
            return _mirror_run(run, output_dir, mode)
    return False


def mirror_verdicts(
    spec: PairSpec,
    verdicts: RunMirror,
    output_dir: Path,
    mode: WandbMode,
    images: Sequence[Path] = (),
    smoke: bool = False,
) -> bool:
    """Mirror what all experiments together say of the claims about one pair, in a run of its own.

    Failures and a full disk are treated as in ``mirror_pair``.

    Args:
        spec: the pair.
        verdicts: the verdicts on the pair.
        output_dir: directory of the records.
        mode: ``offline`` touches no network; ``disabled`` does nothing.
        images: the figures drawn from the records.
        smoke: whether the numbers mean nothing. The run then says this.

    Returns:
        Whether a run was made.

    Raises:
        DiskError: if the mirror cannot be written below ``output_dir``.
    """
    if mode == "disabled":
        return False
    run = _Run(
        experiment=VERDICTS,
        job_type="summary",
        spec=spec,
        family=spec.family,
        content=json.dumps(asdict(verdicts)),
        mirror=lambda: verdicts,
        images=images,
        smoke=smoke,
    )
    with _failure_told(run.name):
        return _mirror_run(run, output_dir, mode)
    return False


@contextmanager
def _failure_told(run_name: str) -> Generator[None]:
    """Report an error in one line, because the records are safe whatever W&B does.

    Raises:
        DiskError: if that is the error.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        problem = f"W&B: {run_name} was not mirrored: {type(error).__name__}: {error}"
        print(visible(problem), file=sys.stderr)


def _mirror_run(run: _Run, output_dir: Path, mode: Literal["offline", "online"]) -> bool:
    """Make a run unless an earlier one shows the same, and return whether it was made."""
    marks_file = output_dir / "wandb" / "mirrored.json"
    marks = _read_marks(marks_file)
    mark = marks.get(run.name, {}) | _fingerprints(run, mode)
    if mark == marks.get(run.name):
        return False
    check_account(mode, output_dir)  # without an account W&B would ask for one, and wait for an answer
    finished = _finished_runs(marks, run.name)
    with wandb_files_below(output_dir, mode), _whole_run(run, marks_file, finished):
        check_takes(output_dir / "wandb", run.num_bytes)
        new = _log_run(run, output_dir, mode)
        check_takes(output_dir / "wandb", SPARE_BYTES)
        marks[run.name] = mark | {"runs": " ".join([*finished, new])}
        write_whole(marks_file, json.dumps(marks, indent=2) + "\n")
    return True


class DiskError(OSError):
    """The disk has no room for what is to be written, or does not allow it."""


def check_takes(directory: Path, num_bytes: int) -> None:
    """Write that number of bytes into the directory and remove them again.

    W&B ignores a full disk, so this is the only way to notice one.

    Raises:
        DiskError: if the disk does not take the bytes.
    """
    probe = directory / ".probe"
    try:
        # Free space as the system reports it is no guide, because quotas and compression are not in it.
        with probe.open("wb") as file:
            for _ in range(0, num_bytes, SPARE_BYTES):
                file.write(bytes(SPARE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DiskError(f"the mirror for W&B cannot be written to {directory}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


@contextmanager
def _whole_run(run: _Run, marks_file: Path, finished: Collection[str]) -> Generator[None]:
    """Remove what an earlier attempt at this run left, and what this attempt leaves if it fails."""
    _remove_unfinished(run, marks_file.parent, finished)
    try:
        yield
    except BaseException:
        # A signal may come just after the marks are written. The run is whole then, so the marks are read again.
        finished = _finished_runs(_read_marks(marks_file), run.name)
        _remove_unfinished(run, marks_file.parent, finished)
        raise


def _finished_runs(marks: Mapping[str, Mapping[str, str]], run_name: str) -> list[str]:
    return marks.get(run_name, {}).get("runs", "").split()


def _remove_unfinished(run: _Run, directory: Path, finished: Collection[str]) -> None:
    # Earlier mirrors of the same records have the same id. Only the names tell which of them are whole.
    for path in directory.glob(f"*run-*-{run.id}"):
        if path.name not in finished and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _read_marks(path: Path) -> dict[str, dict[str, str]]:
    """Read what the runs show.

    A damaged file, as after a crash of the machine, gives a note and counts as empty.
    """  # noqa: DOC501 - the ValueError is caught here
    if not path.exists():
        return {}
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(marks, dict) and all(isinstance(mark, dict) for mark in marks.values())):
            raise ValueError("it is not an object of objects")
    except ValueError as error:
        print(
            f"note: {path} is damaged ({error}) and is replaced: every pair is mirrored again",
            file=sys.stderr,
        )
        return {}
    return marks


def _fingerprints(run: _Run, mode: str) -> dict[str, str]:
    fingerprints = {"mode": mode, "records": _digest(run.content.encode())}
    if run.images:
        fingerprints["images"] = _digest(b"".join(image.read_bytes() for image in run.images))
    return fingerprints


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def wandb_files_below(output_dir: Path, mode: Literal["offline", "online"]) -> Generator[None]:
    """Make W&B write below ``output_dir/wandb`` instead of the user's home directory.

    Raises:
        DiskError: if the directory cannot be made.
    """
    directory = (output_dir / "wandb").resolve()
    staging = directory / "staging"
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"the mirror for W&B cannot be written to {directory}: {error.strerror}") from error
    # W&B logs to files here until the process ends. If they cannot be written, logging would print a traceback a line.
    logging.raiseExceptions = False
    variables = {
        "WANDB_DIR": str(directory.parent),
        "WANDB_DATA_DIR": str(staging),
        "WANDB_CACHE_DIR": str(staging),
        "WANDB_ARTIFACT_DIR": str(staging),
    }
    if mode == "offline":  # online, W&B needs the user's settings, which may name a server and a team
        variables["WANDB_CONFIG_DIR"] = str(staging)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _restore_environment(before)


def _restore_environment(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def logged_name(experiment: str, name: str) -> str:
    """The name in W&B of a figure that the experiment's mirror calls ``name``."""
    return f"{experiment}/{_in_wandb_characters(name)}"


def named_for_wandb(experiment: str, mirror: RunMirror) -> RunMirror:
    """Rename all parts of a mirror as W&B has them: below the experiment's name, in W&B's own characters.

    Raises:
        ValueError: if two parts get the same name.
    """
    return RunMirror(
        summary=_renamed(experiment, mirror.summary),
        tables=_renamed(experiment, mirror.tables),
        curves={
            name: ([_in_wandb_characters(column) for column in columns], rows)
            for name, (columns, rows) in _renamed(experiment, mirror.curves).items()
        },
    )


def _renamed(experiment: str, values: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {logged_name(experiment, name): value for name, value in values.items()}
    if len(renamed) < len(values):
        raise ValueError(
            f"two of {', '.join(values)} have the same name in W&B: give them names that differ more"
        )
    return renamed


def _in_wandb_characters(name: str) -> str:
    """Keep lower-case letters, digits and underscores, because W&B sorts and filters by no other names; ``/`` stays."""
    parts = name.lower().replace("@", " at ").split("/")
    return "/".join(re.sub("[^a-z0-9]+", "_", part).strip("_") for part in parts)


@dataclass(frozen=True, kw_only=True)
class _Artifact:
    """A file that a run keeps.

    Attributes:
        name: the artifact's name.
        type: the artifact's type.
        file_name: name of the file in it.
        content: what the file holds.
    """

    name: str
    type: str
    file_name: str
    content: str


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The content of one run in W&B.

    Attributes:
        experiment: name of the experiment, which precedes every name in the run.
        job_type: what kind of work it is.
        spec: the pair.
        family: family of the pair's architecture; None if it is not known.
        content: all that the run shows, except pictures; an equal content needs no new run.
        mirror: makes the metrics, tables and curves; None if there are none.
        version: a text that differs between runs that must not replace each other.
        config: the run's configuration, besides the keys to group and filter by.
        images: the pictures.
        artifact: the records; None if the run keeps none.
        smoke: whether the numbers mean nothing.
    """

    experiment: str
    job_type: str
    spec: PairSpec
    family: str | None
    content: str
    mirror: Callable[[], RunMirror] | None
    version: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    images: Sequence[Path] = ()
    artifact: _Artifact | None = None
    smoke: bool = False

    @property
    def name(self) -> str:
        return f"{self.experiment}/{self.spec.name}"

    @property
    def id(self) -> str:
        return _digest(f"{self.name}/{self.version}".encode())

    @property
    def num_bytes(self) -> int:
        """Estimate of the run's size on disk: W&B stores records and pictures twice, and tables once more."""
        return SPARE_BYTES + 3 * len(self.content) + 2 * sum(image.stat().st_size for image in self.images)

    @property
    def tags(self) -> list[str]:
        labels: Iterable[str | None] = (
            self.family,
            preset_of(self.spec.name),
            "smoke" if self.smoke else None,
        )
        return [label for label in labels if label is not None]

    @property
    def whole_config(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "preset": preset_of(self.spec.name),
            "size": "smoke" if self.smoke else "full",
            **self.config,
        }


def _run_of_records(
    experiment: AnyExperiment,
    spec: PairSpec,
    records: Sequence[AnyRecord],
    images: Sequence[Path],
    smoke: bool,
) -> _Run:
    mirror = experiment.mirror
    content = "".join(record.model_dump_json() + "\n" for record in records)
    return _Run(
        experiment=experiment.name,
        job_type=experiment.job_type,
        spec=spec,
        family=spec.family or _family_of(records),
        content=content,
        mirror=None if mirror is None else lambda: mirror(records, spec.name),
        version=records[0].provenance.config_hash,
        config=_config(experiment, spec, records),
        images=images,
        artifact=_Artifact(
            name=_artifact_name(experiment.name, spec.name, smoke),
            type=SMOKE_RECORDS if smoke else RECORDS,
            file_name=f"{experiment.name}.jsonl",
            content=content,
        ),
        smoke=smoke,
    )


def _family_of(records: Sequence[AnyRecord]) -> str | None:
    """The family of the architecture, which for a pair outside the presets only the records know."""
    # The kinds of records that lack a family are few, and any other record of the pair has it.
    return next((family for record in records if (family := getattr(record, "family", None))), None)


def _artifact_name(experiment: str, pair: str, smoke: bool) -> str:
    """The artifact's name. W&B allows fewer characters in it than a directory does in a pair's name."""
    cleaned = _UNFIT_FOR_ARTIFACTS.sub("-", pair)[:LONGEST_PAIR_NAME]
    if cleaned != pair:
        cleaned += f"-{_digest(pair.encode())[:8]}"
    return f"{experiment}-{cleaned}{'-smoke' if smoke else ''}"


def _config(experiment: AnyExperiment, spec: PairSpec, records: Sequence[AnyRecord]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "experiment": asdict(experiment.config),
        "question": experiment.question,
        "pair": asdict(replace(spec, base=spec.base.without_path, instruct=spec.instruct.without_path)),
        "provenance": records[-1].provenance.model_dump(),
    }
    for record in records:
        if isinstance(record, PairInfo):
            config["pair"] = record.model_dump(exclude={"provenance"})
    return config


def _log_run(run: _Run, output_dir: Path, mode: Literal["offline", "online"]) -> str:
    """Make the run, and return the name of its directory."""
    import wandb

    wandb_run = wandb.init(
        project=PROJECT,
        mode=mode,
        dir=str(output_dir.resolve()),
        id=run.id,
        name=run.name[:LONGEST_RUN_NAME],
        group=run.experiment,
        job_type=run.job_type,
        tags=run.tags,
        config=run.whole_config,
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
        ),
    )
    try:
        if run.mirror is not None:
            _log_mirror(wandb, wandb_run, named_for_wandb(run.experiment, run.mirror()))
        if run.images:
            wandb_run.log({f"figures/{image.stem}": wandb.Image(str(image)) for image in run.images})
        if run.artifact is not None:
            wandb_run.log_artifact(_to_wandb(run.artifact))
    finally:
        wandb_run.finish()
    # W&B names the directory after the time and the id, so it is known only now.
    return Path(wandb_run.dir).parent.name


def _log_mirror(wandb: Any, wandb_run: Any, mirror: RunMirror) -> None:
    tables = {
        name: wandb.Table(columns=columns, data=rows) for name, (columns, rows) in mirror.tables.items()
    }
    if tables:
        wandb_run.log(tables)
    for name, (columns, rows) in mirror.curves.items():
        _log_curve(wandb_run, name, columns, rows)
    wandb_run.summary.update({name: value for name, value in mirror.summary.items() if value is not None})


def _log_curve(wandb_run: Any, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    wandb_run.define_metric(f"{name}/*", step_metric=f"{name}/{columns[0]}", summary="none")
    # A curve has its own horizontal axis, because W&B's own one counts calls to ``log``.
    for row in rows:
        values = zip(columns, row, strict=True)
        wandb_run.log({f"{name}/{column}": value for column, value in values if value is not None})


def _to_wandb(artifact: _Artifact) -> Any:
    import wandb

    made = wandb.Artifact(artifact.name, type=artifact.type)
    with made.new_file(artifact.file_name, mode="w") as file:
        file.write(artifact.content)
    return made
