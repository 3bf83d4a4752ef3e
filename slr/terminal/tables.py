"""Tables and sentences, fitted to the width of a terminal; in a pipe or a file each row is one line without a box."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from slr.terminal.literal_text import visible

if TYPE_CHECKING:
    from rich.table import Table

WIDTH_OF_A_PIPE = 10_000
"""Number of characters of a line that is not for a terminal, so that nothing is wrapped or cut there."""


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", num_text_columns: int = 1
) -> None:
    """Print a table: with a line under the header on a terminal, in plain columns otherwise.

    Args:
        columns: header of each column.
        rows: rows with a cell for each column; None is an undefined value and shown as n/a.
        title: line above the table.
        num_text_columns: number of columns, from the left, that hold text; the others are aligned to the
            right.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_PIPE)
    cells = [["n/a" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    make = partial(_table, columns, title=title, num_text_columns=num_text_columns, boxed=console.is_terminal)
    table = make(cells)
    unlimited = console.options.update_width(WIDTH_OF_A_PIPE)
    if Measurement.get(console, unlimited, table).maximum > console.width:
        # A number's interval goes below it whole, before rich breaks lines at any blank.
        table = make([[cell.replace(" [", "\n[") for cell in row] for row in cells])
    # rich would end the process with an error where the reader of a pipe has gone. ``print`` leaves that to the caller.
    with console.capture() as printed:
        console.print(table)
    print(printed.get(), end="")


def print_sentence(text: str) -> None:
    """Print a sentence: broken at blanks on a terminal, in one line otherwise."""
    text = visible(text)
    if sys.stdout.isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns, break_on_hyphens=False)
    print(text)


def _table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str,
    num_text_columns: int,
    boxed: bool,
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD if boxed else None,
        title=Text(visible(title), style="table.title") if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0) if boxed else (0, 2, 0, 0),
    )
    for place, column in enumerate(columns):
        table.add_column(Text(visible(column)), justify="left" if place < num_text_columns else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
