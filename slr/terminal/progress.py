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

OnWork = Callable[[str, float, float], None]
"""Function to call with a description, the work done and its total, in any unit."""

BAR_WIDTH = 12
"""Number of characters of a bar on a terminal."""

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
    with work_bar() as show:
        yield lambda done, total: show(description, done, total)


@contextmanager
def work_bar() -> Generator[OnWork]:
    """Show progress on stderr with a description that may change, unless the command is quiet.

    Yields:
        A function to call with the description, the work done and its total.
    """
    if is_quiet():
        yield lambda _description, _done, _total: None
    elif sys.stderr.isatty():
        with _terminal_bar() as show:
            yield show
    else:
        yield _plain_lines()


def format_seconds(seconds: float) -> str:
    """Write a duration in the two units that matter, such as ``1 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _state(done: float, total: float, seconds: float) -> str:
    """The share that is done, and the time that is left. It is 100% only when all is done."""
    if done >= total:
        return f"100%, {format_seconds(seconds)}"
    share = f"{int(100 * done / total)}%"
    return f"{share}, about {format_seconds(seconds * (total - done) / done)} left" if done > 0 else share


@contextmanager
def _terminal_bar() -> Generator[OnWork]:
    # Imported here, because a run without a terminal does not need rich.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_WIDTH),
        TextColumn("{task.fields[state]}", markup=False),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None, state="", visible=False)

        def show(description: str, done: float, total: float) -> None:
            state = _state(done, total, time.monotonic() - began)
            # What is cut is the description, and not the time that is left.
            room = max(1, progress.console.width - BAR_WIDTH - len(state) - 2)
            shown = visible(description)[:room]
            progress.update(task, completed=done, total=total, description=shown, state=state, visible=True)

        yield show


def _plain_lines() -> OnWork:
    began = last = time.monotonic()
    share_said = 0.0
    is_complete = False

    def show(description: str, done: float, total: float) -> None:
        nonlocal last, share_said, is_complete
        now = time.monotonic()
        if done >= total:
            is_due, is_complete = not is_complete, True
        else:
            is_due = any(
                done / total - share_said >= more and now - last >= wait for more, wait in LINE_AFTER
            )
        if is_due:
            last, share_said = now, done / max(total, done)
            print(f"{visible(description)}: {_state(done, total, now - began)}", file=sys.stderr, flush=True)

    return show
