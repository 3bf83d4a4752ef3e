from __future__ import annotations

import io
import sys

import pytest

from slr import progress
from slr.progress import format_seconds, progress_bar


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


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("searching") as on_progress:
        on_progress(1, 4)
        on_progress(4, 4)
    assert "searching" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
