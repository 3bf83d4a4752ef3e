"""A figure or table, together with what must have been measured for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from slr.analysis.load_results import Results
from slr.analysis.needs import NOTHING, Need

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Exhibit(Generic[Made]):
    """A figure or table.

    Attributes:
        id: name of its files, and of its place on the page.
        make: makes it from the results.
        need: what must have been measured.
        caption: makes a figure's caption from the results. A table has its own.
    """

    id: str
    make: Callable[[Results], Made]
    need: Need = NOTHING
    caption: Callable[[Results], str] | None = None
