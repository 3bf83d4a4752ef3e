"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth, and a mirror can be made again from them. Offline, nothing is sent and no account is
needed. Look at an offline mirror with ``wandb leet OUTPUT_DIR/wandb``, and send it later with ``wandb sync
OUTPUT_DIR/wandb/offline-run-*``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*-ID/   the runs; ID begins with experiment and pair
    wandb/staging/            artifacts and caches
    wandb/mirrored.json       what each whole run shows, so that an unchanged result makes no second run
    wandb/steps.json          what each run's history holds, in the order of its steps
    wandb/progress.jsonl      when each cell ended and how long it took; see ``live_mirror``
    wandb/mirror.log          what the process that mirrors has to say, while it runs

docs/wandb.md explains the names:

    run                 EXPERIMENT/PAIR, in the group EXPERIMENT, with the experiment's job type; verdicts/PAIR has the
                        verdicts on the claims, from the records of all experiments, and the figures
    tags                family; preset, if the pair belongs to one; "smoke" for a smoke run
    config              family, preset and size ("full" or "smoke"), to group and filter by; all else is below them
    metric              EXPERIMENT/[GROUP/]METHOD/METRIC; a GROUP is a genre or a benchmark, for example
    progress            progress/NAME, a step for each cell
    table, curve        EXPERIMENT/NAME, EXPERIMENT/NAME/COLUMN
    picture             figures/NAME
    artifact            EXPERIMENT-PAIR of the type "records", with the file EXPERIMENT.jsonl. A smoke run has
                        EXPERIMENT-PAIR-smoke of the type "smoke-records", so that nobody takes it for a result.
                        A pair's name is cleaned if it is long or has characters that W&B refuses. It then ends in a
                        digest of the true name, which the records keep

The run's id follows from experiment, pair and configuration, and the step of a row from steps.json. Therefore a run
that goes on after a stop, or that has new records, is resumed by its id, and no row of its history comes twice.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from slr.files.whole import write_whole
from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, Columns, RunMirror, store_of
from slr.runs.modes import WandbMode
from slr.runs.records import Failure
from slr.runs.run_content import (
    Artifact,
    RunContent,
    digest,
    named_for_wandb,
    run_of_records,
    run_of_verdicts,
)
from slr.runs.wandb_files import SPARE_BYTES, DiskError, check_account, check_takes, wandb_files_below
from slr.terminal.literal_text import visible

PROJECT = "slr"
LONGEST_RUN_NAME = 128
"""Number of characters that W&B allows in a run's name."""
SECONDS_TO_UPLOAD = 600.0
"""Seconds that a run has at its end to send what is left."""


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
    with failure_told(f"{experiment.name}/{spec.name}"):
        records = [
            record
            for record in store_of(experiment, output_dir).read()
            if record.pair == spec.name and not isinstance(record, Failure)
        ]
        if records:
            run = run_of_records(experiment, spec, records, images, smoke)
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
    run = run_of_verdicts(spec, verdicts, images, smoke)
    with failure_told(run.name):
        return _mirror_run(run, output_dir, mode)
    return False


@contextmanager
def failure_told(run_name: str) -> Generator[None]:
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
        print(visible(problem), file=sys.stderr, flush=True)


def _mirror_run(run: RunContent, output_dir: Path, mode: Literal["offline", "online"]) -> bool:
    """Make a run unless an earlier one shows the same, and return whether it was made."""
    marks = Marks(output_dir, mode)
    if marks.show(run):
        return False
    check_account(mode, output_dir)  # without an account W&B would ask for one, and wait for an answer
    with wandb_files_below(output_dir, mode), marks.whole_or_removed(run):
        OpenRun(run, marks).finish(run)
    return True


class Marks:
    """What the whole runs of an output directory show."""

    def __init__(self, output_dir: Path, mode: Literal["offline", "online"]) -> None:
        """Name the file; nothing is read yet.

        Args:
            output_dir: directory of the records.
            mode: how W&B is used. A run that was made in another mode counts as changed.
        """
        self.output_dir = output_dir
        self.mode: Literal["offline", "online"] = mode
        self.directory = output_dir / "wandb"
        self.path = self.directory / "mirrored.json"

    def show(self, run: RunContent) -> bool:
        """Whether a whole run shows the same."""
        mark = self._read().get(run.name, {})
        return mark == mark | self._of(run)

    def finished(self, run_name: str) -> list[str]:
        """Names of the directories of the whole runs of that name."""
        return self._read().get(run_name, {}).get("runs", "").split()

    def steps_in_files(self, run: RunContent) -> int:
        """Number of steps in the offline runs of this id that stay, and are on a server before a new one is."""
        if any(_is_sent(path) for path in self._unfinished(run)):
            return Steps(self.directory).count(run.id)
        mark = self._read().get(run.name, {})
        is_there = any(
            name.endswith(run.id) and (self.directory / name).exists() for name in self.finished(run.name)
        )
        return int(mark.get("steps", "0")) if is_there else 0

    def add(self, run: RunContent, directory_name: str, num_steps: int) -> None:
        """Note what a whole run shows.

        Args:
            run: the run.
            directory_name: name of its directory.
            num_steps: number of steps of its history, in all its directories.
        """
        marks = self._read()
        runs = [*self.finished(run.name), directory_name]
        marks[run.name] = (
            marks.get(run.name, {})
            | self._of(run)
            | {
                "runs": " ".join(runs),
                "steps": str(num_steps),
            }
        )
        write_whole(self.path, json.dumps(marks, indent=2) + "\n")

    @contextmanager
    def whole_or_removed(self, run: RunContent) -> Generator[None]:
        """Remove what an earlier attempt at this run left, and what this attempt leaves if it fails."""
        self.remove_unfinished(run)
        try:
            yield
        except BaseException:
            # A signal may come just after the marks are written. The run is whole then.
            self.remove_unfinished(run)
            raise

    def remove_unfinished(self, run: RunContent) -> None:
        """Remove the directories of the run that are not whole, unless they were sent to a server."""
        for path in self._unfinished(run):
            if not _is_sent(path):
                shutil.rmtree(path, ignore_errors=True)

    def _unfinished(self, run: RunContent) -> list[Path]:
        # All mirrors of the same records have the same id. Only the names tell which of them are whole.
        finished = self.finished(run.name)
        return [
            path
            for path in self.directory.glob(f"*run-*-{run.id}")
            if path.name not in finished and path.is_dir() and not path.is_symlink()
        ]

    def _of(self, run: RunContent) -> dict[str, str]:
        return {"mode": self.mode, **run.fingerprints}

    def _read(self) -> dict[str, dict[str, str]]:
        """Read what the runs show.

        A damaged file, as after a crash of the machine, gives a note and counts as empty.
        """  # noqa: DOC501 - the ValueError is caught here
        if not self.path.exists():
            return {}
        try:
            marks = json.loads(self.path.read_text(encoding="utf-8"))
            if not (isinstance(marks, dict) and all(isinstance(mark, dict) for mark in marks.values())):
                raise ValueError("it is not an object of objects")
        except ValueError as error:
            print(
                f"note: {self.path} is damaged ({error}) and is removed: every pair is mirrored again",
                file=sys.stderr,
                flush=True,
            )
            self.path.unlink()
            return {}
        return marks


class Steps:
    """What each run's history holds: labels, in the order of their steps, each with its number of rows.

    The order is kept, because several processes do not finish cells in the order of their records. Without it a run
    that is resumed would take other cells for the ones that it has.
    """

    def __init__(self, directory: Path) -> None:
        """Read the file; a missing or damaged one counts as empty.

        Args:
            directory: W&B's directory in the output directory.
        """
        self._path = directory / "steps.json"
        self._runs: dict[str, dict[str, int]] = {}
        with suppress(OSError, ValueError, AttributeError, TypeError):
            runs = json.loads(self._path.read_text(encoding="utf-8"))
            self._runs = {
                run_id: {label: int(num_rows) for label, num_rows in labels.items()}
                for run_id, labels in runs.items()
            }

    def labels(self, run_id: str) -> list[str]:
        """What the run's history holds."""
        return list(self._runs.get(run_id, {}))

    def count(self, run_id: str) -> int:
        """Number of the run's steps."""
        return sum(self._runs.get(run_id, {}).values())

    def first_step(self, run_id: str, label: str, num_rows: int) -> int:
        """The step of the label's first row; a new label comes last, and is on disk before it is used.

        Args:
            run_id: the run.
            label: what the rows are.
            num_rows: number of rows.
        """
        labels = self._runs.setdefault(run_id, {})
        if label not in labels:
            labels[label] = num_rows
            self._write()
        before = takewhile(lambda other: other != label, labels)
        return 1 + sum(labels[other] for other in before)

    def forget(self, run_id: str) -> None:
        """Forget a run, whose history begins anew."""
        if self._runs.pop(run_id, None) is not None:
            self._write()

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._runs, indent=1) + "\n")


class OpenRun:
    """A run that W&B writes. It must be used inside ``wandb_files_below``.

    A run goes on where a server, or the whole offline runs of its id, end. Their rows are not logged again.
    """

    def __init__(self, run: RunContent, marks: Marks, *, process: int | None = None) -> None:
        """Open the run.

        Args:
            run: what it shows so far.
            marks: the whole runs.
            process: id of the process that does the work, whose use of the machine W&B records; None to record none.

        Raises:
            DiskError: if the disk has no room.
        """
        import wandb

        self._marks = marks
        self._id = run.id
        self._steps = Steps(marks.directory)
        check_takes(marks.directory, SPARE_BYTES)
        self._run = wandb.init(
            project=PROJECT,
            mode=marks.mode,
            dir=str(marks.output_dir.resolve()),
            id=run.id,
            name=run.name[:LONGEST_RUN_NAME],
            group=run.experiment,
            job_type=run.job_type,
            tags=run.tags,
            config=run.whole_config,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                finish_timeout=SECONDS_TO_UPLOAD,
                finish_timeout_raises=True,
                x_disable_stats=process is None,
                x_disable_machine_info=process is None,
                x_disable_meta=True,
                x_stats_pid=process or os.getpid(),
                x_stats_track_process_tree=True,
            ),
        )
        self._held = marks.steps_in_files(run) if marks.mode == "offline" else max(0, self._run.step - 1)
        if self._held == 0:
            self._steps.forget(run.id)
        elif (unknown := self._held - self._steps.count(run.id)) > 0:
            self._steps.first_step(run.id, "unknown", unknown)

    @property
    def labels(self) -> list[str]:
        """What the history holds, or will hold before anything new."""
        return self._steps.labels(self._id)

    def log(self, label: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to the history, unless it holds them.

        Args:
            label: what the rows are; other rows have another label.
            rows: values by name.
        """
        for step, row in enumerate(rows, start=self._steps.first_step(self._id, label, len(rows))):
            if step > self._held:
                self._run.log(dict(row), step=step, commit=True)

    def show_table(self, name: str, columns: Columns) -> None:
        """Show a table in place of an earlier one of that name."""
        import wandb

        # In the summary only: a table in the history makes two meaningless charts, of its numbers of rows and columns.
        names, rows = columns
        # W&B's types do not allow a row to be a list, which its documentation shows.
        data: list[Any] = list(rows)
        self._run.summary.update({name: wandb.Table(columns=list(names), data=data)})

    def alert(self, title: str, text: str, is_error: bool) -> None:
        """Send a message to the people who watch the run.

        Args:
            title: the title.
            text: the message.
            is_error: whether something went wrong.
        """
        self._run.alert(title, text, level="ERROR" if is_error else "INFO")

    def finish(self, run: RunContent, is_whole: bool = True) -> None:
        """Show all that the run shows, end it, and note that it shows this.

        Args:
            run: what it shows.
            is_whole: whether all work is done. If not, the run counts as failed. It has no curves, because later ones
                would be added to them.

        Raises:
            DiskError: if the disk has no room.
        """
        try:
            check_takes(self._marks.directory, run.num_bytes)
            # The first records, with which a run is opened, do not hold all of it.
            self._run.config.update(run.whole_config, allow_val_change=True)
            if run.mirror is not None:
                self._log_mirror(named_for_wandb(run.experiment, run.mirror()), with_curves=is_whole)
            if run.images:
                self._log_pictures(run)
            if run.artifact is not None:
                self._run.log_artifact(_to_wandb(run.artifact))
        except BaseException:
            self.give_up()
            raise
        self._run.finish(0 if is_whole else 1)
        # W&B names the directory after the time and the id, so it is known only now.
        directory_name = Path(self._run.dir).parent.name
        check_takes(self._marks.directory, SPARE_BYTES)
        self._marks.add(run, directory_name, self._steps.count(run.id))

    def give_up(self) -> None:
        """End the run as it is, as failed."""
        self._run.finish(1)

    def _log_mirror(self, mirror: RunMirror, with_curves: bool) -> None:
        for name, columns in mirror.tables.items():
            self.show_table(name, columns)
        for name, (columns, rows) in mirror.curves.items() if with_curves else ():
            # A curve has its own horizontal axis, because W&B's own one counts cells.
            self._run.define_metric(f"{name}/*", step_metric=f"{name}/{columns[0]}", summary="none")
            points = [zip(columns, row, strict=True) for row in rows]
            self.log(
                f"{name} {digest(json.dumps([columns, rows]).encode())}",
                [
                    {f"{name}/{column}": value for column, value in point if value is not None}
                    for point in points
                ],
            )
        self._run.summary.update({name: value for name, value in mirror.summary.items() if value is not None})

    def _log_pictures(self, run: RunContent) -> None:
        import wandb

        pictures = {f"figures/{image.stem}": wandb.Image(str(image)) for image in run.images}
        self.log(f"figures {run.fingerprints['images']}", [pictures])


def _is_sent(directory: Path) -> bool:
    """Whether ``wandb sync`` has sent an offline run."""
    return any(directory.glob("*.synced"))


def _to_wandb(artifact: Artifact) -> Any:
    import wandb

    made = wandb.Artifact(artifact.name, type=artifact.type)
    with made.new_file(artifact.file_name, mode="w") as file:
        file.write(artifact.content)
    return made
