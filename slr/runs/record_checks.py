"""What is held to be true of the numbers in a record: ranges, equal lengths, names that occur once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

VALIDITY_TOLERANCE = 1e-4
"""By so much a sum of probabilities may be above 1: logits of some hundreds are only so exact in float32."""
DIVERSITY_TOLERANCE = 1e-6


def _ordered(ends: tuple[int, int]) -> tuple[int, int]:
    start, end = ends
    if not 0 <= start <= end:
        raise ValueError(f"the interval is {start}:{end}, expected 0 <= start <= end")
    return ends


def _finite(value: Any) -> Any:
    """The value, if no number anywhere in it is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a number in it is {value}, expected finite numbers")
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
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
"""Of vectors in float32, normalised by themselves."""
JudgedScore = Annotated[int, Field(ge=1, le=10)]
LayerEnds = Annotated[tuple[int, int], AfterValidator(_ordered)]
"""First layer, and the one after the last."""
FiniteObject = Annotated[dict[str, Any], AfterValidator(_finite_object)]
Name = Annotated[str, Field(min_length=1)]


def check_equal_lengths(**arrays: Sequence[object] | None) -> None:
    """Raise ``ValueError`` unless all that are given have the same length."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"{said} entries, expected the same number in each")


def check_unique(name: str, values: Sequence[object]) -> None:
    """Raise ``ValueError`` if a value occurs twice."""
    if len(set(values)) < len(values):
        twice = next(value for index, value in enumerate(values) if value in values[:index])
        raise ValueError(f"{name} has {twice!r} twice, expected each once")


def check_interval_within(interval: tuple[int, int] | None, num_layers: int) -> None:
    """Raise ``ValueError`` if the interval ends beyond the last layer."""
    if interval is not None and interval[1] > num_layers:
        raise ValueError(f"the interval {interval[0]}:{interval[1]} does not fit {num_layers} layers")
