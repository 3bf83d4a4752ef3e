"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth; a mirror is made from them at the end, and can be made again. Offline,
nothing is sent and no account is needed: look at it with ``wandb leet OUTPUT_DIR/wandb`` and send it later
with ``wandb sync OUTPUT_DIR/wandb/offline-run-*``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*/    the runs
    wandb/staging/          artifacts and caches
    wandb/mirrored.json     what each run shows, so that an unchanged result makes no second run

Names, of which docs/wandb.md tells more:

    run                 EXPERIMENT/PAIR, in the group EXPERIMENT, with the experiment's job type
    tags                family; preset, if the pair is one's; "smoke" if the run is
    config              family, preset and size ("full" or "smoke"), to group and filter by; all else below them
    metric              EXPERIMENT/[GROUP/]METHOD/METRIC, a GROUP such as a genre or a benchmark
    table, curve        EXPERIMENT/NAME, EXPERIMENT/NAME/COLUMN
    picture             figures/NAME
    artifact            EXPERIMENT-PAIR of the type "records", with the file EXPERIMENT.jsonl; of a smoke run
                        EXPERIMENT-PAIR-smoke of the type "smoke-records", so that nobody takes it for a result.
                        A pair's name that is long, or has characters that W&B does not take, is cleaned, and gets a
                        digest of the true one, which the records keep

The run's id follows from experiment, pair and configuration, so that a mirror made again replaces the older one
on a server.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
SMOKE_RECORDS = "smoke-records"
"""Types of artifacts."""

SPARE_BYTES = 2**16
"""That a disk must take beside what is known, and at the end still, or it is full."""
LONGEST_PAIR_NAME = 64
"""Of a pair in an artifact's name, which may have 128 characters in all."""
LONGEST_RUN_NAME = 128
_UNFIT_FOR_ARTIFACTS = re.compile(r"[^A-Za-z0-9._-]")

OFFLINE_INSTEAD = "Or choose offline, and send the runs later with `wandb sync`"


def check_account(mode: WandbMode, output_dir: Path) -> None:
    """Nothing unless the mode is ``online``: then see that there is an account, before work is done for it.

    Raises:
        ValueError: if no key is known, or the server does not accept it or cannot be reached.
    """
    if mode != "online":
        return
    try:
        with wandb_files_below(output_dir, mode):
            log_in()
    except ValueError as error:
        with suppress(OSError):  # nothing is to be left of what was refused
            for directory in ("wandb/staging", "wandb"):
                (output_dir / directory).rmdir()
        raise ValueError(f"{error}. {OFFLINE_INSTEAD}") from None


def log_in() -> None:
    """Use the account that W&B knows, and never ask for one.

    Raises:
        ValueError: if no key is known, or the server does not accept it or cannot be reached.
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

    A failure of W&B is told on stderr and otherwise ignored, because nothing is lost by it. A disk that takes no
    mirror is an error, since W&B itself would write a part of it and say that all is well.

    Args:
        experiment: what was run.
        spec: the pair.
        output_dir: where its records are.
        mode: ``offline`` touches no network; ``disabled`` does nothing.
        images: pictures to show. A call without any does not undo an earlier one with some.
        smoke: whether the numbers mean nothing, which is then told in the run.

    Returns:
        Whether a run was made.

    Raises:
        OSError: if it cannot be written below ``output_dir``.
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
        check_account(mode, output_dir)  # without one, W&B would ask for it, and wait
        run = _Run(experiment=experiment, spec=spec, records=records, images=images, smoke=smoke)
        finished = mark.get("runs", "").split()
        with wandb_files_below(output_dir, mode), _whole_run(run, output_dir / "wandb", finished):
            check_takes(output_dir / "wandb", run.num_bytes)
            finished.append(_log_run(run, output_dir, mode))
            check_takes(output_dir / "wandb", SPARE_BYTES)
            marks[run_name] = mark | {"runs": " ".join(finished)}
            write_whole(marks_file, json.dumps(marks, indent=2) + "\n")
    except DiskError:
        raise
    except Exception as error:  # the records are safe whatever W&B does
        problem = f"W&B: {run_name} was not mirrored: {type(error).__name__}: {error}"
        print(visible(problem), file=sys.stderr)
        return False
    return True


class DiskError(OSError):
    """The disk does not take what is to be written."""


def check_takes(directory: Path, num_bytes: int) -> None:
    """Write so many bytes into the directory and remove them again, because W&B ignores a disk that is full.

    Raises:
        DiskError: if the disk does not take them.
    """
    probe = directory / ".probe"
    try:
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
def _whole_run(run: _Run, directory: Path, finished: list[str]) -> Iterator[None]:
    """Remove what an earlier attempt at this run left behind, and what this one does if it fails."""
    before = tuple(finished)
    _remove_unfinished(run, directory, before)
    try:
        yield
    except BaseException:
        _remove_unfinished(run, directory, before)
        raise


def _remove_unfinished(run: _Run, directory: Path, finished: Collection[str]) -> None:
    for path in directory.glob(f"*run-*-{run.id}"):
        if path.name not in finished and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _read_marks(path: Path) -> dict[str, dict[str, str]]:
    """What the runs show; nothing, after a note, if the file is damaged, as by a machine that crashed."""
    if not path.exists():
        return {}
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(marks, dict) and all(isinstance(mark, dict) for mark in marks.values())):
            raise ValueError("it is no object of objects")
    except ValueError as error:
        print(
            f"note: {path} is damaged ({error}) and is written anew: every pair is mirrored again",
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
def wandb_files_below(output_dir: Path, mode: Literal["offline", "online"]) -> Iterator[None]:
    """Have W&B write below ``output_dir/wandb``, where it would use the user's home otherwise."""
    directory = (output_dir / "wandb").resolve()
    staging = directory / "staging"
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"the mirror for W&B cannot be written to {directory}: {error.strerror}") from error
    # W&B logs to files here, also when the process ends; where they cannot be written, each line would be a traceback.
    logging.raiseExceptions = False
    variables = {
        "WANDB_DIR": str(directory.parent),
        "WANDB_DATA_DIR": str(staging),
        "WANDB_CACHE_DIR": str(staging),
        "WANDB_ARTIFACT_DIR": str(staging),
    }
    if mode == "offline":  # online, the user's settings are needed: they may name a server and a team
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
    """Under what name W&B has a figure that the experiment's mirror calls ``name``."""
    return f"{experiment}/{_in_wandb_characters(name)}"


def named_for_wandb(experiment: str, mirror: RunMirror) -> RunMirror:
    """The same under the names that it has in W&B: below the experiment's, in W&B's own characters.

    Raises:
        ValueError: if two names are the same there.
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
        raise ValueError(f"two of {', '.join(values)} have the same name in W&B: name them more differently")
    return renamed


def _in_wandb_characters(name: str) -> str:
    """Lower-case letters, digits and underscores, for W&B sorts and filters by no other names; ``/`` stays."""
    parts = name.lower().replace("@", " at ").split("/")
    return "/".join(re.sub("[^a-z0-9]+", "_", part).strip("_") for part in parts)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What becomes one run in W&B."""

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
        """About what the run takes on disk: records and pictures are there twice, and tables once more."""
        records = sum(len(record.model_dump_json()) for record in self.records)
        return SPARE_BYTES + 3 * records + 2 * sum(image.stat().st_size for image in self.images)

    @property
    def artifact_name(self) -> str:
        """In W&B's characters, which are fewer than a directory's; the experiment's is an identifier."""
        pair = _UNFIT_FOR_ARTIFACTS.sub("-", self.spec.name)[:LONGEST_PAIR_NAME]
        if pair != self.spec.name:
            pair += f"-{_digest(self.spec.name.encode())[:8]}"
        return f"{self.experiment.name}-{pair}{'-smoke' if self.smoke else ''}"

    @property
    def tags(self) -> list[str]:
        labels: Iterable[str | None] = (
            self.spec.family,
            preset_of(self.spec.name),
            "smoke" if self.smoke else None,
        )
        return [label for label in labels if label is not None]

    @property
    def config(self) -> dict[str, Any]:
        config = {
            "family": self.spec.family,
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
    """Make the run, and give the name of its directory."""
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
    for row in rows:
        values = zip(columns, row, strict=True)
        wandb_run.log({f"{name}/{column}": value for column, value in values if value is not None})


def _artifact(run: _Run) -> Any:
    import wandb

    artifact = wandb.Artifact(run.artifact_name, type=SMOKE_RECORDS if run.smoke else RECORDS)
    with artifact.new_file(f"{run.experiment.name}.jsonl", mode="w") as file:
        file.writelines(record.model_dump_json() + "\n" for record in run.records)
    return artifact
