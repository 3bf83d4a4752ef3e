"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth. A mirror is made from them at the end, and can be made again. Offline, nothing is
sent and no account is needed. Look at an offline mirror with ``wandb leet OUTPUT_DIR/wandb``, and send it later with
``wandb sync OUTPUT_DIR/wandb/offline-run-*``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*/    the runs
    wandb/staging/          artifacts and caches
    wandb/mirrored.json     what each run shows, so that an unchanged result makes no second run

docs/wandb.md explains the names:

    run                 EXPERIMENT/PAIR, in the group EXPERIMENT, with the experiment's job type
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
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
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
    run_name = f"{experiment.name}/{spec.name}"
    try:
        records = [
            record
            for record in store_of(experiment, output_dir).read()
            if record.pair == spec.name and not isinstance(record, Failure)
        ]
        marks_file = output_dir / "wandb" / "mirrored.json"
        marks = _read_marks(marks_file)
        mark = marks.get(run_name, {}) | _fingerprints(records, images, mode)
        if not records or mark == marks.get(run_name):
            return False
        check_account(mode, output_dir)  # without an account W&B would ask for one, and wait for an answer
        run = _Run(experiment=experiment, spec=spec, records=records, images=images, smoke=smoke)
        finished = _finished_runs(marks, run_name)
        with wandb_files_below(output_dir, mode), _whole_run(run, run_name, marks_file, finished):
            check_takes(output_dir / "wandb", run.num_bytes)
            new = _log_run(run, output_dir, mode)
            check_takes(output_dir / "wandb", SPARE_BYTES)
            marks[run_name] = mark | {"runs": " ".join([*finished, new])}
            write_whole(marks_file, json.dumps(marks, indent=2) + "\n")
    except DiskError:
        raise
    except Exception as error:  # the records are safe whatever W&B does
        problem = f"W&B: {run_name} was not mirrored: {type(error).__name__}: {error}"
        print(visible(problem), file=sys.stderr)
        return False
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
def _whole_run(run: _Run, run_name: str, marks_file: Path, finished: Collection[str]) -> Generator[None]:
    """Remove what an earlier attempt at this run left, and what this attempt leaves if it fails."""
    _remove_unfinished(run, marks_file.parent, finished)
    try:
        yield
    except BaseException:
        # A signal may come just after the marks are written. The run is whole then, so the marks are read again.
        finished = _finished_runs(_read_marks(marks_file), run_name)
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


def _fingerprints(records: Sequence[AnyRecord], images: Sequence[Path], mode: str) -> dict[str, str]:
    content = "\n".join(record.model_dump_json() for record in records)
    fingerprints = {"mode": mode, "records": _digest(content.encode())}
    if images:
        fingerprints["images"] = _digest(b"".join(image.read_bytes() for image in images))
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
class _Run:
    """The content of one run in W&B."""

    experiment: AnyExperiment
    spec: PairSpec
    records: Sequence[AnyRecord]
    images: Sequence[Path]
    smoke: bool

    @property
    def id(self) -> str:
        content = f"{self.experiment.name}/{self.spec.name}/{self.records[0].provenance.config_hash}"
        return _digest(content.encode())

    @property
    def num_bytes(self) -> int:
        """Estimate of the run's size on disk: W&B stores records and pictures twice, and tables once more."""
        records = sum(len(record.model_dump_json()) for record in self.records)
        return SPARE_BYTES + 3 * records + 2 * sum(image.stat().st_size for image in self.images)

    @property
    def artifact_name(self) -> str:
        """The artifact's name. W&B allows fewer characters in it than a directory does in a pair's name."""
        pair = _UNFIT_FOR_ARTIFACTS.sub("-", self.spec.name)[:LONGEST_PAIR_NAME]
        if pair != self.spec.name:
            pair += f"-{_digest(self.spec.name.encode())[:8]}"
        return f"{self.experiment.name}-{pair}{'-smoke' if self.smoke else ''}"

    @property
    def family(self) -> str | None:
        """The family of the architecture, which for a pair outside the presets only the records know."""
        # The kinds of records that lack a family are few, and any other record of the pair has it.
        return self.spec.family or next(
            (family for record in self.records if (family := getattr(record, "family", None))), None
        )

    @property
    def tags(self) -> list[str]:
        labels: Iterable[str | None] = (
            self.family,
            preset_of(self.spec.name),
            "smoke" if self.smoke else None,
        )
        return [label for label in labels if label is not None]

    @property
    def config(self) -> dict[str, Any]:
        config = {
            "family": self.family,
            "preset": preset_of(self.spec.name),
            "size": "smoke" if self.smoke else "full",
            "experiment": asdict(self.experiment.config),
            "question": self.experiment.question,
            "pair": asdict(
                replace(self.spec, base=self.spec.base.without_path, instruct=self.spec.instruct.without_path)
            ),
            "provenance": self.records[-1].provenance.model_dump(),
        }
        for record in self.records:
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
        name=f"{run.experiment.name}/{run.spec.name}"[:LONGEST_RUN_NAME],
        group=run.experiment.name,
        job_type=run.experiment.job_type,
        tags=run.tags,
        config=run.config,
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
        if run.experiment.mirror is not None:
            mirror = run.experiment.mirror(run.records, run.spec.name)
            _log_mirror(wandb, wandb_run, named_for_wandb(run.experiment.name, mirror))
        if run.images:
            wandb_run.log({f"figures/{image.stem}": wandb.Image(str(image)) for image in run.images})
        wandb_run.log_artifact(_artifact(run))
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


def _artifact(run: _Run) -> Any:
    import wandb

    artifact = wandb.Artifact(run.artifact_name, type=SMOKE_RECORDS if run.smoke else RECORDS)
    with artifact.new_file(f"{run.experiment.name}.jsonl", mode="w") as file:
        file.writelines(record.model_dump_json() + "\n" for record in run.records)
    return artifact
