"""Maps of all layer intervals of a pair: a cell for each interval, with its values where the pointer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

SCALE_STEPS = 32
"""Number of fields of a colour scale."""
MAX_TICKS = 8
"""Largest number of layers that are written along an axis."""


class MapCell(NamedTuple):
    """An interval with its mean scores.

    Attributes:
        start: first restored layer, counted from 0.
        end: end of the interval, which is not restored itself.
        validity: mean CRC validity, from 0 to 1.
        diversity: mean CRC diversity, from 0 to 1; None where it is undefined.
        is_admitted: whether the interval is valid enough to be chosen.
    """

    start: int
    end: int
    validity: float
    diversity: float | None
    is_admitted: bool

    @property
    def words(self) -> str:
        """The interval and its values."""
        diversity = "n/a" if self.diversity is None else f"{self.diversity:.3f}"
        allowed = "" if self.is_admitted else "; not valid enough"
        return f"layers {self.start}:{self.end}: validity {self.validity:.3f}, diversity {diversity}{allowed}"


class IntervalMaps(BaseModel):
    """Validity and diversity of every interval of a pair.

    Attributes:
        num_layers: number of decoder layers.
        cells: the intervals.
        chosen: start and end of the chosen interval; None if none was chosen.
        marks: name of each model that is marked on the scales, with its validity and its diversity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_layers: int
    cells: tuple[MapCell, ...]
    chosen: tuple[int, int] | None
    marks: tuple[tuple[str, float | None, float | None], ...]

    @property
    def chosen_words(self) -> str:
        """The values of the chosen interval; empty if none was chosen."""
        return next((cell.words for cell in self.cells if (cell.start, cell.end) == self.chosen), "")

    @property
    def ticks(self) -> list[int]:
        """The layers that are written along the axes."""
        step = -(-self.num_layers // MAX_TICKS)
        return list(range(0, self.num_layers + 1, step))

    def panels(self) -> list[MapPanel]:
        """The map of validity and the map of diversity."""
        return [
            MapPanel(
                "CRC validity",
                "cividis",
                [cell.validity for cell in self.cells],
                [(name, value) for name, value, _ in self.marks if value is not None],
            ),
            MapPanel(
                "CRC diversity",
                "viridis",
                [cell.diversity for cell in self.cells],
                [(name, value) for name, _, value in self.marks if value is not None],
            ),
        ]


@dataclass(frozen=True)
class MapPanel:
    """One of the maps.

    Attributes:
        title: what is shown.
        color_map: matplotlib's name of the colour map.
        values: value of each cell, from 0 to 1.
        marks: models with their values, to be marked on the scale.
    """

    title: str
    color_map: str
    values: Sequence[float | None]
    marks: Sequence[tuple[str, float]]

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The ends of the colour scale: the smallest and the largest value."""
        values = [value for value in (*self.values, *(value for _, value in self.marks)) if value is not None]
        low, high = min(values, default=0.0), max(values, default=1.0)
        return (low, high) if high > low else (low, low + 0.01)

    @property
    def fills(self) -> list[str]:
        """The colour of each cell; white where the value is undefined."""
        return ["#ffffff" if value is None else self._color(self.place(value)) for value in self.values]

    @property
    def scale(self) -> list[str]:
        """The colours of the scale, from its low to its high end."""
        return [self._color((step + 0.5) / SCALE_STEPS) for step in range(SCALE_STEPS)]

    def place(self, value: float) -> float:
        """The place of a value on the scale, from 0 to 1."""
        low, high = self.limits
        return (value - low) / (high - low)

    def _color(self, place: float) -> str:
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        return to_hex(colormaps[self.color_map](place))
