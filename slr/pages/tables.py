"""A table of a page."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PageTable(BaseModel):
    """The texts of a table.

    Attributes:
        columns: heading of each column.
        are_numbers: whether each column holds only numbers, which are then set flush right.
        rows: text of each cell, row by row.
        note: text below the table; empty if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    are_numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
