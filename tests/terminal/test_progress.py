from __future__ import annotations

import io
import sys
from itertools import pairwise

import pytest

from slr.terminal import progress
from slr.terminal.notices import set_verbosity
from slr.terminal.progress import format_seconds, progress_bar, work_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3600 * 26 + 299, "26 h 04 min")],
)
def test_durations(seconds: float, text: str):
    assert format_seconds(seconds) == text


def test_plain_lines_are_few_and_tell_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    clock = iter([100.0, 100.0, 109.0, 120.0, 121.0, 180.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar("searching") as on_progress:
        for done in (0, 1, 2, 3, 8):
            on_progress(done, 8)
    assert capsys.readouterr().err == "searching: 25%, about 1 min 00 s left\nsearching: 100%, 1 min 20 s\n"


@pytest.mark.parametrize("seconds", [5, 60, 600, 36_000])
def test_a_line_comes_after_a_tenth_or_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: int
):
    """Of a thousand equal steps, however long they take together."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    said: list[tuple[float, float]] = [(0.0, 0.0)]
    with progress_bar("searching") as on_progress:
        for done in range(1000):
            now = done / 1000 * seconds
            on_progress(done, 1000)
            if capsys.readouterr().err:
                said.append((now, done / 1000))
    between = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(said)]
    assert all(wait >= 29.9 or share >= 0.1 for wait, share in between)
    most = {5: 0, 60: 6, 600: 20, 36_000: 100}[seconds]
    assert most * 0.8 <= len(said) - 1 <= most


@pytest.mark.parametrize("is_terminal", [True, False])
def test_it_is_never_100_percent_while_work_goes_on(is_terminal: bool, monkeypatch: pytest.MonkeyPatch):
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "LINE_AFTER", ((0.0, 0.0),))
    with work_bar() as show:
        show("cell 161 of 162", 99_999, 100_000)
        said = stream.getvalue()
        show("cell 162 of 162", 100_000, 100_000)
    assert "100%" not in said
    assert "cell 162 of 162" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_a_quiet_command_shows_nothing(capsys: pytest.CaptureFixture[str]):
    set_verbosity(quiet=True, verbose=False)
    try:
        with progress_bar("searching") as on_progress:
            on_progress(4, 4)
    finally:
        set_verbosity(quiet=False, verbose=False)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("searching") as on_progress:
        on_progress(1, 4)
        on_progress(4, 4)
    assert "searching" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
