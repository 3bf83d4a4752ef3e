"""A table in its forms: CSV with full precision, and Markdown and LaTeX with what is shown."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slr.analysis.tables import latex
from slr.files.whole import write_whole
from slr.statistics.uncertainty import Estimate
from slr.terminal.literal_text import in_csv, in_markdown, markdown_line

DECIMALS = 3
"""Number of decimals of numbers up to 1 in size.

Larger numbers have this number of digits in all, or all digits before the point.
"""
SMALLEST_SHOWN_P = 0.001
"""Smallest p-value that is shown. Smaller ones are shown as below it, because 0.000 would claim impossibility."""


@dataclass(frozen=True)
class PValue:
    """A p-value as a cell. In CSV it is in full; elsewhere a very small one is "<0.001".

    Attributes:
        value: the p-value, from 0 to 1.
    """

    value: float

    def __post_init__(self) -> None:
        """Check the value.

        Raises:
            ValueError: if it is not from 0 to 1.
        """
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"a p-value is a number from 0 to 1: got {self.value}")

    def __str__(self) -> str:
        """Write the p-value as it is shown."""
        if self.value < SMALLEST_SHOWN_P:
            return f"<{SMALLEST_SHOWN_P:.{DECIMALS}f}"
        return f"{self.value:.{DECIMALS}f}"


def p_cell(p_value: float | None) -> PValue | None:
    """The cell of a p-value; undefined if the p-value is."""
    return None if p_value is None else PValue(p_value)


Cell = str | int | float | Estimate | PValue | None
"""Content of a cell. None is undefined: an empty cell in CSV, "n/a" elsewhere."""

UNDEFINED_NOTE = "n/a: not measured, or not defined for this row."
"""Note below a table with an undefined cell."""
# In some languages a spreadsheet separates cells by these, and a formula could begin within an unquoted text.
_FORMULA_AFTER_SEPARATOR = re.compile(r"[;\t]\s*[=+@\-]")
NO_INTERVAL_NOTE = "No interval is given where too few values differ from each other to show their spread."
"""Note below a table with an estimate that has no interval."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, with a caption.

    Texts may hold anything: every form shows them, and does nothing else with them.

    Attributes:
        caption: the caption.
        columns: heading of each column.
        rows: cells, row by row. In CSV an ``Estimate`` has four columns: mean, both ends, and number of items.
        count_column: heading of the column with each row's number of items. Except in CSV, an estimate over another
            number of items says so.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    count_column: str = ""

    def __post_init__(self) -> None:
        """Check that every p-value is a ``PValue``.

        Raises:
            ValueError: if a column named p, or ending in " p", has a bare number, which could be shown as 0.000.
        """
        for column, cells in zip(self.columns, self._cells_by_column(), strict=True):
            is_p = column == "p" or column.endswith(" p")
            bare = [cell for cell in cells if isinstance(cell, int | float)]
            if is_p and bare:
                raise ValueError(f"column {column!r} holds {bare[0]}: expected PValue cells")

    @property
    def note(self) -> str:
        """The text below the table; empty if there is none."""
        cells = [cell for row in self.rows for cell in row]
        notes = {
            UNDEFINED_NOTE: any(cell is None for cell in cells),
            NO_INTERVAL_NOTE: any(
                isinstance(cell, Estimate) and None in (cell.low, cell.high) for cell in cells
            ),
        }
        return " ".join(note for note, applies in notes.items() if applies)

    def csv(self) -> str:
        """Write the table unrounded. A column of estimates becomes NAME, NAME low, NAME high and NAME n."""
        estimated = [any(isinstance(cell, Estimate) for cell in cells) for cells in self._cells_by_column()]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        quoting_writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(
            in_csv(name)
            for column, is_estimate in zip(self.columns, estimated, strict=True)
            for name in (
                (column, f"{column} low", f"{column} high", f"{column} n") if is_estimate else (column,)
            )
        )
        for row in self.rows:
            has_separator = any(
                isinstance(cell, str) and _FORMULA_AFTER_SEPARATOR.search(cell) for cell in row
            )
            # A quoted cell is one text to every spreadsheet, whatever it takes for a separator.
            (quoting_writer if has_separator else writer).writerow(
                value
                for cell, is_estimate in zip(row, estimated, strict=True)
                for value in (_ends(cell) if is_estimate else (_unrounded(cell),))
            )
        return text.getvalue()

    def markdown(self) -> str:
        """Write the table between its caption and its note."""
        rules = ["---:" if is_number else "---" for is_number in self.are_numbers()]
        lines = [self.columns, rules, *self.shown_rows()]
        body = "\n".join("| " + " | ".join(map(in_markdown, line)) + " |" for line in lines)
        caption = markdown_line(self.caption)
        return "\n\n".join(part for part in (caption, body, self.note) if part) + "\n"

    def latex(self, id_: str) -> str:
        """Write a booktabs table, over several pages if it has many rows. Its label is made from the id."""
        return latex.table(
            label=f"tab:{id_.replace('_', '-')}",
            caption=latex.escaped(self.caption),
            columns=[latex.escaped(column) for column in self.columns],
            are_numbers=self.are_numbers(),
            rows=[
                [_in_latex(cell, shown) for cell, shown in zip(row, shown_row, strict=True)]
                for row, shown_row in zip(self.rows, self.shown_rows(), strict=True)
            ],
            note=self.note,
        )

    def shown_rows(self) -> list[list[str]]:
        """The text of every cell. An estimate over another number of items than its row's says so."""
        counts = self._counts()
        return [
            [_shown(cell) + _other_count(cell, count) for cell in row]
            for row, count in zip(self.rows, counts, strict=True)
        ]

    def _counts(self) -> list[Cell]:
        if not self.count_column:
            return [None] * len(self.rows)
        place = self.columns.index(self.count_column)
        return [row[place] for row in self.rows]

    def are_numbers(self) -> list[bool]:
        """Whether each column holds only numbers, which are then set flush right."""
        return [
            any(isinstance(cell, int | float | PValue) for cell in cells)
            and all(cell is None or isinstance(cell, int | float | PValue) for cell in cells)
            for cells in self._cells_by_column()
        ]

    def _cells_by_column(self) -> list[list[Cell]]:
        return [[row[i] for row in self.rows] for i in range(len(self.columns))]


def save_table(table: Table, directory: Path, id_: str) -> list[Path]:
    """Write ID.csv, ID.md and ID.tex.

    Args:
        table: the table.
        directory: directory of the files.
        id_: id of the table.

    Returns:
        The paths of the files.
    """
    written = []
    for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex(id_))):
        path = directory / f"{id_}.{suffix}"
        write_whole(path, text)
        written.append(path)
    return written


def _ends(cell: Cell) -> Sequence[Cell]:
    return (
        (cell.mean, cell.low, cell.high, cell.n) if isinstance(cell, Estimate) else (cell, None, None, None)
    )


def _other_count(cell: Cell, count: Cell) -> str:
    return f" (n={cell.n})" if isinstance(cell, Estimate) and count is not None and cell.n != count else ""


def _unrounded(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return in_csv(cell)
    return cell.value if isinstance(cell, PValue) else cell


def _shown(cell: Cell) -> str:
    if cell is None:
        return "n/a"
    if isinstance(cell, Estimate):
        if cell.low is None or cell.high is None:
            return _rounded(cell.mean)[0]
        mean, low, high = _rounded(cell.mean, cell.low, cell.high)
        return f"{mean} [{low}, {high}]"
    if isinstance(cell, float):
        return _rounded(cell)[0]
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _rounded(*numbers: float) -> list[str]:
    """Round all numbers to the decimals that the largest one needs."""
    size = max(map(abs, numbers))
    digits_before_point = 1 + math.floor(math.log10(size)) if size > 1 else 0
    # The "z" turns -0.000 into 0.000.
    return [f"{number:z,.{max(0, DECIMALS - digits_before_point)}f}" for number in numbers]


def _in_latex(cell: Cell, shown: str) -> str:
    if isinstance(cell, PValue):
        return shown.replace("<", "$<$")
    text = latex.escaped(shown)
    # In a number a hyphen is a minus sign, which LaTeX has only in formulas.
    return text if isinstance(cell, str) else text.replace("-", "$-$")
