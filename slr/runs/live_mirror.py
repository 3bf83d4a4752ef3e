"""The mirror of a run while it goes on, seen from the process that does the work.

Another process mirrors: it reads the records and ``OUTPUT_DIR/wandb/progress.jsonl``, to which this one adds a line for
each cell that has ended. This process never waits for the other one while there is work. So a W&B that fails, hangs or
is killed neither stops the work nor slows it down. At the end it waits as long as the mirror gets on, and no longer
than ``SECONDS_OF_NOTICE`` if it does not. What is missing then, the next call mirrors from the records.

The mirror gets a ``MirrorJob`` and at the end an ``End`` through its standard input. If that is closed without an
``End``, the work was stopped. The mirror then ends its runs within ``SECONDS_AFTER_A_STOP``.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, RunMirror
from slr.runs.modes import WandbMode
from slr.runs.run_progress import EndedCell
from slr.terminal.bad_input import FAILED
from slr.terminal.literal_text import visible

COMMAND = (sys.executable, "-P", "-m", "slr.runs.mirror_process")
PROGRESS_NAME = "progress.jsonl"
LOG_NAME = "mirror.log"
DISK_FULL = 3
"""Exit status of a mirror that found no room on the disk."""
SECONDS_OF_NOTICE = 30.0
"""Seconds that a mirror has to finish its next run once all work is done."""
SECONDS_BETWEEN_STARTS = 600.0
"""Seconds between two starts of a mirror that ended early, so that one that always fails costs little."""
SECONDS_AFTER_A_STOP = 20.0
"""Seconds that a mirror lives on after the work was stopped."""


@dataclass(frozen=True, kw_only=True)
class MirrorJob:
    """All that the mirror needs to know to begin.

    Attributes:
        make_experiments: makes the experiments. It is pickled, because experiments hold functions that cannot be.
        specs: the pairs.
        output_dir: directory of the records.
        mode: how W&B is used.
        smoke: whether the numbers mean nothing.
        process: id of the process that does the work.
    """

    make_experiments: Callable[[], Sequence[AnyExperiment]]
    specs: tuple[PairSpec, ...]
    output_dir: Path
    mode: Literal["offline", "online"]
    smoke: bool = False
    process: int = field(default_factory=os.getpid)


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of the work.

    Attributes:
        status: exit status of the work.
        pictures: figures to show: with the verdicts, or without verdicts with the records.
        verdicts: the verdicts, by pair.
    """

    status: int
    pictures: Sequence[Path] = ()
    verdicts: Mapping[str, RunMirror] = field(default_factory=dict)


class LiveMirror:
    """Starts the process that mirrors, and tells it what it cannot read from the records."""

    def __init__(self, job: MirrorJob | None) -> None:
        """Start nothing yet, because there may be nothing to do.

        Args:
            job: what to mirror; None to mirror nothing.
        """
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._told = 0

    def cell_began(self) -> None:
        """Have a mirror running, unless one has just failed."""
        if self._job is not None and not self._is_running() and self._may_start():
            self._start(self._job)

    def cell_ended(self, ended: EndedCell) -> None:
        """Tell the mirror of a cell, and the user of what the mirror has said."""
        if self._job is None:
            return
        # A disk that takes no records is an error. One that takes no mirror is none, as long as there is work.
        with suppress(OSError), self._path(PROGRESS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(ended)) + "\n")
        self._tell_what_it_says()

    def end(self, end: End) -> int:
        """Let the mirror finish.

        Args:
            end: what it needs for that.

        Returns:
            The exit status: 1 if the disk has no room for the mirror. Any other trouble only gives a line on stderr.
        """
        if self._job is None:
            return 0
        status = self._finish(self._job, end)
        if status < 0:  # Killed, so its runs are not whole. All that they need is in the records.
            status = self._finish(self._job, end)
        with suppress(OSError):
            self._path(LOG_NAME).unlink()
        if status not in (0, DISK_FULL):
            print(
                "W&B has not got everything: the same command mirrors the rest from the records",
                file=sys.stderr,
                flush=True,
            )
        return FAILED if status == DISK_FULL else 0

    def close(self) -> None:
        """Let the mirror end by itself; nobody waits for it."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _finish(self, job: MirrorJob, end: End) -> int:
        """Send the end, and wait while runs become whole; return the mirror's exit status."""
        if not self._is_running():
            if self._process is not None and self._process.returncode == DISK_FULL:
                self._tell_what_it_says()  # it may have ended since it was last asked
                return DISK_FULL
            self._start(job)
        if self._process is None:
            return FAILED
        message = pickle.dumps(end)
        marks, since = self._marks(), time.monotonic()
        while self._process.returncode is None:
            try:
                self._process.communicate(message, timeout=0.5)
            except subprocess.TimeoutExpired:
                message = None
            if marks != (marks := self._marks()):
                since = time.monotonic()
            if self._process.returncode is None and time.monotonic() - since > SECONDS_OF_NOTICE:
                self._process.kill()
                self._process.wait()
                self._tell_what_it_says()
                return FAILED
        self._tell_what_it_says()
        return self._process.returncode

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _may_start(self) -> bool:
        return self._process is None or time.monotonic() - self._started > SECONDS_BETWEEN_STARTS

    def _start(self, job: MirrorJob) -> None:
        """Start the process; if that fails, say so, because the work goes on without it."""
        self.close()
        self._started = time.monotonic()
        try:
            self._path(LOG_NAME).parent.mkdir(parents=True, exist_ok=True)
            with self._path(LOG_NAME).open("ab") as log:
                # In a group of its own the process gets no Ctrl-C from the terminal. In a session of its own it would
                # be a match for the work, as Linux shares the processor among sessions first.
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    process_group=0 if os.name == "posix" else None,
                )
            assert self._process.stdin is not None
            self._process.stdin.write(pickle.dumps(job))
            self._process.stdin.flush()
        except OSError as error:
            print(visible(f"W&B: the mirror cannot run: {error}"), file=sys.stderr, flush=True)

    def _path(self, name: str) -> Path:
        assert self._job is not None
        return self._job.output_dir / "wandb" / name

    def _marks(self) -> int:
        """A number that changes when a run has become whole."""
        try:
            return self._path("mirrored.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _tell_what_it_says(self) -> None:
        # The mirror does not write to the terminal itself, because it may outlive this process.
        with suppress(OSError), self._path(LOG_NAME).open("rb") as log:
            log.seek(self._told)
            said = log.read()
            whole_lines = said[: said.rfind(b"\n") + 1]
            self._told += len(whole_lines)
            for line in whole_lines.decode(errors="replace").splitlines():
                print(visible(line), file=sys.stderr, flush=True)


@contextmanager
def live_mirror(
    make_experiments: Callable[[], Sequence[AnyExperiment]],
    specs: Sequence[PairSpec],
    output_dir: Path,
    mode: WandbMode,
    *,
    smoke: bool = False,
    is_main: bool = True,
) -> Generator[LiveMirror]:
    """Mirror a run while it goes on. If the block ends without ``end``, as after Ctrl-C, the mirror ends by itself.

    Args:
        make_experiments: makes the experiments; it can be pickled.
        specs: the pairs.
        output_dir: directory of the records.
        mode: how W&B is used; ``disabled`` mirrors nothing.
        smoke: whether the numbers mean nothing.
        is_main: whether this is the main process; the others that share the work do not mirror.

    Yields:
        The mirror.
    """
    job = None
    if mode != "disabled" and is_main:
        job = MirrorJob(
            make_experiments=make_experiments,
            specs=tuple(specs),
            output_dir=output_dir,
            mode=mode,
            smoke=smoke,
        )
    mirror = LiveMirror(job)
    try:
        yield mirror
    finally:
        mirror.close()
