"""Progress of long work, with an estimate of the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0
"""Where the output is no terminal, a plain line is printed this often."""


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on stderr; call what is yielded with the work done and its total."""
    if sys.stderr.isatty():
        with _terminal_bar(description) as on_progress:
            yield on_progress
    else:
        yield _plain_lines(description)


@contextmanager
def _terminal_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _plain_lines(description: str) -> Callable[[int, int], None]:
    began = last = time.monotonic()

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        left = (now - began) * (total - done) / max(done, 1)
        print(f"{description}: {done}/{total}, about {left:.0f} s left", file=sys.stderr, flush=True)

    return on_progress
