"""A table in three forms: CSV with full precision, Markdown and LaTeX with what is shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slr.uncertainty import Estimate

Cell = str | int | float | Estimate | None
"""None is undefined: an empty cell in CSV, "n/a" elsewhere."""

DECIMALS = 3
PAGE_ROWS = 40
LINE_CHARACTERS = 60
"""In LaTeX a table of more rows breaks across pages, and a column of longer cells breaks its lines."""
_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, with a caption. In CSV an ``Estimate`` is three columns."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def csv(self) -> str:
        """Unrounded; a column of estimates becomes NAME, NAME low and NAME high."""
        estimated = [any(isinstance(row[i], Estimate) for row in self.rows) for i in range(len(self.columns))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            name
            for column, is_estimate in zip(self.columns, estimated, strict=True)
            for name in ((column, f"{column} low", f"{column} high") if is_estimate else (column,))
        )
        for row in self.rows:
            writer.writerow(
                value
                for cell, is_estimate in zip(row, estimated, strict=True)
                for value in (_ends(cell) if is_estimate else (cell,))
            )
        return text.getvalue()

    def markdown(self) -> str:
        """A table under its caption."""
        lines = [self.columns, ["---"] * len(self.columns), *(map(_shown, row) for row in self.rows)]
        body = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        return f"{self.caption}\n\n{body}\n"

    def latex(self) -> str:
        """A booktabs table, over several pages (longtable) if it has many rows."""
        shown = [[_shown(cell) for cell in row] for row in self.rows]
        is_long = len(shown) > PAGE_ROWS
        widths = [max((len(row[i]) for row in shown), default=0) for i in range(len(self.columns))]
        layout = "".join(r"p{0.45\linewidth}" if width > LINE_CHARACTERS else "l" for width in widths)
        caption = f"\\caption{{{_escaped(self.caption)}}}\n\\label{{tab:{self.name.replace('_', '-')}}}"
        header = " & ".join(map(_escaped, self.columns)) + r" \\"
        rows = "".join(" & ".join(map(_escaped, row)) + " \\\\\n" for row in shown)
        if is_long:
            return (
                f"\\begin{{longtable}}{{{layout}}}\n{caption} \\\\\n"
                f"\\toprule\n{header}\n\\midrule\n\\endhead\n{rows}\\bottomrule\n\\end{{longtable}}\n"
            )
        return (
            f"\\begin{{table}}\n\\centering\n{caption}\n\\begin{{tabular}}{{{layout}}}\n"
            f"\\toprule\n{header}\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )


def save_table(table: Table, directory: Path) -> list[Path]:
    """Write NAME.csv, NAME.md and NAME.tex."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
        path = directory / f"{table.name}.{suffix}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _ends(cell: Cell) -> Sequence[Cell]:
    return (cell.mean, cell.low, cell.high) if isinstance(cell, Estimate) else (cell, None, None)


def _shown(cell: Cell) -> str:
    if cell is None:
        return "n/a"
    if isinstance(cell, float):
        return f"{cell:.{DECIMALS}f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _escaped(text: str) -> str:
    return "".join(_LATEX_ESCAPES.get(character, character) for character in text)
