"""Tables are plain columns in a pipe, and fit a terminal of any width."""

from __future__ import annotations

import re

import pytest

from slr.terminal.tables import print_table

ROWS = [("a b", 1.5, "[0.1, 0.2]"), ("[red]c[/red]\x1b[1m", None, "x" * 200)]


def test_a_pipe_gets_a_line_for_each_row_without_a_box(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "value", "more"), ROWS, title="what it is")
    title, header, *rows = capsys.readouterr().out.splitlines()
    assert title.strip() == "what it is"
    assert header.split() == ["name", "value", "more"]
    assert [row.split() for row in rows] == [
        ["a", "b", "1.5", "[0.1,", "0.2]"],
        ["[red]c[/red]\\x1b[1m", "n/a", "x" * 200],
    ]
    assert rows[0].index("1.5") + 3 == rows[1].index("n/a") + 3, "numbers are aligned to the right"


def test_a_terminal_gets_a_table_that_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("name", "value", "more"), ROWS)
    printed = capsys.readouterr().out
    assert "───" in printed
    assert "\x1b[1mx" not in printed
    assert max(map(len, re.sub(r"\x1b\[\d*m", "", printed).splitlines())) <= 40


@pytest.mark.parametrize(("columns", "lines"), [(80, 1), (20, 2)])
def test_an_interval_stands_below_its_number_where_a_line_is_too_narrow(
    columns: int, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(("a", "b"), [("x", "0.1 [0.123, 0.456]")])
    rows = [line.strip() for line in capsys.readouterr().out.splitlines() if "0." in line]
    assert len(rows) == lines
    assert rows[-1].endswith("[0.123, 0.456]")
