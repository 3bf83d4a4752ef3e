"""Tables on the terminal, with lines there, and without lines where the output is a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slr.terminal.literal_text import visible

WIDTH_OF_A_PIPE = 10_000
"""Number of characters of a line that is not for a terminal, so that nothing is wrapped or cut there."""


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", num_text_columns: int = 1
) -> None:
    """Print a table: with lines on a terminal, in plain columns otherwise.

    Args:
        columns: header of each column.
        rows: rows with a cell for each column; None is an undefined value and shown as n/a.
        title: line above the table.
        num_text_columns: number of columns, from the left, that hold text; the others are aligned to the
            right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_PIPE)
    table = Table(
        box=box.HEAVY_HEAD if console.is_terminal else None,
        title=Text(visible(title), style="table.title") if title else None,
        title_justify="left",
        pad_edge=console.is_terminal,
    )
    for place, column in enumerate(columns):
        table.add_column(Text(visible(column)), justify="left" if place < num_text_columns else "right")
    for row in rows:
        table.add_row(*(Text("n/a" if cell is None else visible(str(cell))) for cell in row))
    # rich would end the process with an error where the reader of a pipe has gone. ``print`` leaves that to the caller.
    with console.capture() as printed:
        console.print(table)
    print(printed.get(), end="")
