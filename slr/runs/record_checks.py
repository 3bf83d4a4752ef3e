"""Checks of the values in a record: limits of numbers, equal lengths, and names that occur once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

VALIDITY_TOLERANCE = 1e-4
"""Largest amount by which a sum of probabilities may exceed 1, because float32 rounds logits of a few hundred."""
DIVERSITY_TOLERANCE = 1e-6
"""Largest amount by which a normalised entropy may leave [0, 1] through rounding."""


def _ordered(ends: tuple[int, int]) -> tuple[int, int]:
    start, end = ends
    if not 0 <= start <= end:
        raise ValueError(f"the interval is {start}:{end}, expected 0 <= start <= end")
    return ends


def _finite(value: Any) -> Any:
    """Return the value if no number anywhere in it is NaN or infinite.

    Raises:
        ValueError: if one is.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a number in it is {value}, expected finite numbers")
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        # A free-form object can have numbers at any depth.
        for part in value:
            _finite(part)
    return value


def _finite_object(value: dict[str, Any]) -> dict[str, Any]:
    _finite(value)
    return value


Validity = Annotated[float, Field(ge=-VALIDITY_TOLERANCE, le=1 + VALIDITY_TOLERANCE)]
Diversity = Annotated[float, Field(ge=-DIVERSITY_TOLERANCE, le=1 + DIVERSITY_TOLERANCE)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
"""Cosine of two float32 vectors of unit length; rounding can take it slightly out of [-1, 1]."""
JudgedScore = Annotated[int, Field(ge=1, le=10)]
LayerEnds = Annotated[tuple[int, int], AfterValidator(_ordered)]
"""Ends of an interval: its first layer, and the layer behind its last one."""
FiniteObject = Annotated[dict[str, Any], AfterValidator(_finite_object)]
Name = Annotated[str, Field(min_length=1)]


def check_equal_lengths(**arrays: Sequence[object] | None) -> None:
    """Check that all arrays that are given have the same length; None stands for an array that is not.

    Raises:
        ValueError: if they do not.
    """
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"{said} entries, expected the same number in each")


def check_unique(name: str, values: Sequence[object]) -> None:
    """Check that no value occurs twice.

    Raises:
        ValueError: if one does.
    """
    if len(set(values)) < len(values):
        twice = next(value for index, value in enumerate(values) if value in values[:index])
        raise ValueError(f"{name} has {twice!r} twice, expected each value once")


def check_interval_within(interval: tuple[int, int] | None, num_layers: int) -> None:
    """Check that an interval ends at the last layer or before; None for no interval.

    Raises:
        ValueError: if it ends behind the last layer.
    """
    if interval is not None and interval[1] > num_layers:
        raise ValueError(f"the interval {interval[0]}:{interval[1]} does not fit {num_layers} layers")


def check_layers_within(layers: tuple[int, ...] | None, num_layers: int) -> None:
    """Check that a set of layers rises and ends at the last layer or before; None for no set.

    Raises:
        ValueError: if it does not.
    """
    if layers is not None and (list(layers) != sorted(set(layers)) or any(n >= num_layers for n in layers)):
        raise ValueError(f"the layers are {layers}, expected rising numbers below {num_layers}")
