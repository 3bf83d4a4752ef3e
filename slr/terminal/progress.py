"""Progress of long work, with an estimate of the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from slr.terminal.literal_text import visible
from slr.terminal.notices import is_quiet

OnProgress = Callable[[float, float], None]
"""Function to call with the work done and its total, in any unit."""

LINE_AFTER = ((0.1, 10.0), (0.01, 30.0))
"""Shares of the work and seconds that must pass before the next plain line, where the output is no terminal.

One of the pairs must be reached in both numbers. So the log of a long run is neither silent nor full of
lines.
"""


@contextmanager
def progress_bar(description: str) -> Generator[OnProgress]:
    """Show progress on stderr, unless the command is quiet.

    Yields:
        A function to call with the work done and its total.
    """
    description = visible(description)
    if is_quiet():
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        with _terminal_bar(description) as on_progress:
            yield on_progress
    else:
        yield _plain_lines(description)


def format_seconds(seconds: float) -> str:
    """Write a duration in the two units that matter, such as ``1 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def _terminal_bar(description: str) -> Generator[OnProgress]:
    # Imported here, because a run without a terminal does not need rich.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), left)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _plain_lines(description: str) -> OnProgress:
    began = last = time.monotonic()
    share_said = 0.0
    is_complete = False

    def on_progress(done: float, total: float) -> None:
        nonlocal last, share_said, is_complete
        now = time.monotonic()
        if done >= total:
            if is_complete:
                return
            is_complete = True
            print(f"{description}: 100%, {format_seconds(now - began)}", file=sys.stderr, flush=True)
        elif any(done / total - share_said >= more and now - last >= wait for more, wait in LINE_AFTER):
            last, share_said = now, done / total
            left = format_seconds((now - began) * (total - done) / done)
            print(f"{description}: {done / total:.0%}, about {left} left", file=sys.stderr, flush=True)

    return on_progress
