"""Set a table in LaTeX, with booktabs rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.terminal.literal_text import visible

PAGE_ROWS = 40
"""A table of more rows breaks across pages."""
LINE_CHARACTERS = 60
"""A column of longer cells breaks its lines."""
WIDTH_CHARACTERS = 70
"""A wider table is scaled to the text's width; if it breaks across pages, they are turned instead."""
GAP_CHARACTERS = 2
"""The space between columns."""

BASIC_PLANE = "\uffff"
"""The last of its characters."""

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
    "<": r"\textless{}",  # these three are other characters in LaTeX's default font encoding
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def escaped(text: str) -> str:
    """Text in which no character means anything to LaTeX; a line break, which could end a paragraph, is a space.

    Characters beyond the basic plane, such as emoji, are written as their numbers: no LaTeX font has them.
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
    """A table to be included in a document; its first line names the packages it needs. All text is escaped."""
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
    """Of a table, each in lines of LaTeX."""

    num_columns: int
    layout: str
    caption: str
    header: list[str]
    body: list[str]
    note: str
    is_wide: bool


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(cells) + r" \\"
    # After a rule or a row's end, either would be an argument of it.
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
    if parts.is_wide:
        smaller = r"\scriptsize\setlength{\tabcolsep}{3pt}"
        longtable = [r"\begin{landscape}", smaller, *longtable, r"\end{landscape}"]
    return ["% packages: booktabs, longtable" + (", pdflscape" if parts.is_wide else ""), *longtable]
