"""Tables in LaTeX, with booktabs rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.terminal.literal_text import visible

PAGE_ROWS = 40
"""Number of rows from which a table breaks across pages."""
LINE_CHARACTERS = 60
"""Number of characters of a cell from which its column breaks lines."""
WIDTH_CHARACTERS = 70
"""Number of characters from which a table is scaled to the text's width, or its pages are turned if it has several."""
GAP_CHARACTERS = 2
"""Width of the space between columns, in characters."""

BASIC_PLANE = "\uffff"
"""Last character of the Unicode plane for which LaTeX fonts have characters."""

_ESCAPES = {
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
    "<": r"\textless{}",  # in LaTeX's default font encoding, these three would print as other characters
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def escaped(text: str) -> str:
    """Escape a text so that no character in it means anything to LaTeX.

    A line break becomes a space, because it could end a paragraph. Characters beyond the basic plane, such as emoji,
    become their numbers, because no LaTeX font has them.
    """
    line = visible(" ".join(text.splitlines()), keep="\t")
    return "".join(
        _ESCAPES.get(character, character) if character <= BASIC_PLANE else f"[U+{ord(character):X}]"
        for character in line
    )


def table(
    *,
    label: str,
    caption: str,
    columns: Sequence[str],
    are_numbers: Sequence[bool],
    rows: Sequence[Sequence[str]],
    note: str,
) -> str:
    """Set a table that a document can include. Its first line names the packages that it needs.

    Args:
        label: name for references to the table.
        caption: the caption, escaped.
        columns: heading of each column, escaped.
        are_numbers: whether each column holds only numbers, which are set flush right.
        rows: text of each cell, row by row, escaped.
        note: text below the table.

    Returns:
        The LaTeX code.
    """
    lengths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    layout = "".join(
        r"p{0.45\linewidth}" if length > LINE_CHARACTERS else "r" if is_number else "l"
        for length, is_number in zip(lengths, are_numbers, strict=True)
    )
    is_wide = sum(min(length, LINE_CHARACTERS) + GAP_CHARACTERS for length in lengths) > WIDTH_CHARACTERS
    parts = _Parts(
        num_columns=len(columns),
        layout=layout,
        caption=rf"\caption{{{caption}}}\label{{{label}}}",
        header=[r"\toprule", _row(columns), r"\midrule"],
        body=[*map(_row, rows), r"\bottomrule"],
        note=note,
        is_wide=is_wide,
    )
    lines = _on_pages(parts) if len(rows) > PAGE_ROWS else _on_one_page(parts)
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The parts of a table, in lines of LaTeX."""

    num_columns: int
    layout: str
    caption: str
    header: list[str]
    body: list[str]
    note: str
    is_wide: bool


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(cells) + r" \\"
    # After a rule or the end of a row, LaTeX would read "[" and "*" as the beginning of an argument.
    return "{}" + row if row.startswith(("[", "*")) else row


def _on_one_page(parts: _Parts) -> list[str]:
    tabular = [rf"\begin{{tabular}}{{{parts.layout}}}", *parts.header, *parts.body, r"\end{tabular}"]
    if parts.is_wide:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    return [
        "% packages: booktabs" + (", graphicx" if parts.is_wide else ""),
        r"\begin{table}",
        r"\centering",
        parts.caption,
        *tabular,
        *(["", r"\smallskip", rf"{{\footnotesize {parts.note}}}"] if parts.note else []),
        r"\end{table}",
    ]


def _on_pages(parts: _Parts) -> list[str]:
    note = rf"\multicolumn{{{parts.num_columns}}}{{l}}{{{parts.note}}}"
    longtable = [
        rf"\begin{{longtable}}{{{parts.layout}}}",
        rf"{parts.caption} \\",
        *parts.header,
        r"\endfirsthead",
        *parts.header,
        r"\endhead",
        *parts.body,
        *([note] if parts.note else []),
        r"\end{longtable}",
    ]
    # A box cannot break across pages, so a long table cannot be scaled as a short one is.
    if parts.is_wide:
        smaller = r"\scriptsize\setlength{\tabcolsep}{3pt}"
        longtable = [r"\begin{landscape}", smaller, *longtable, r"\end{landscape}"]
    return ["% packages: booktabs, longtable" + (", pdflscape" if parts.is_wide else ""), *longtable]
