"""Paired contrasts, each of one method against the method that it names as its reference.

A contrast shows both means over the same items (prompts, or documents of a benchmark), their difference with
a 95% interval, and a p-value that is Holm-corrected over a family of contrasts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, stdev

from slr.statistics.uncertainty import Estimate, estimate_difference, holm, paired_p_value

Values = Sequence[float | None]
"""One number for each item, in the same order for every method; None where it is not defined."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Which method is compared with which, and in what metric.

    Attributes:
        pair: name of the model pair.
        group: name of the group of items, such as a genre.
        metric: id of the metric.
        label: the metric's name for people.
        method: name of the method.
        model: model that the method samples from.
        reference: name of the method that it is compared with.
        reference_model: model that the reference samples from.
        is_primary: whether a claim rests on it: the primary metric of a task, in its own experiment.
    """

    pair: str
    group: str
    metric: str
    label: str
    method: str
    model: str
    reference: str
    reference_model: str
    is_primary: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison(Compared):
    """A comparison to compute: the values of a method and of its reference, item by item."""

    values: Values
    reference_values: Values


@dataclass(frozen=True, kw_only=True)
class Contrast(Compared):
    """A method against its reference in one metric.

    Attributes:
        num_items: number of items where both values are defined.
        mean: the method's mean over these items; None if there are none.
        reference_mean: the reference's mean over these items; None if there are none.
        difference: ``mean - reference_mean`` with its interval; None if there are no items.
        spread: standard deviation of the paired differences; None with fewer than two items.
        p_value: corrected p-value; None with fewer than two items.
        family_size: number of p-values that Holm's correction was taken over.
    """

    num_items: int
    mean: float | None
    reference_mean: float | None
    difference: Estimate | None
    spread: float | None
    p_value: float | None
    family_size: int


def make_contrasts(
    comparisons: Sequence[Comparison], family_of: Callable[[Comparison], Hashable]
) -> list[Contrast]:
    """Compute every contrast, in the order given.

    Args:
        comparisons: what is compared; items are paired by their place.
        family_of: gives each comparison a family; one Holm correction covers each family.

    Raises:
        ValueError: if a method and its reference do not have one value for each of the same items.
    """
    raw = [paired_p_value(c.values, c.reference_values) for c in comparisons]
    corrected: list[float | None] = [None] * len(raw)
    sizes = [0] * len(raw)
    families: dict[Hashable, list[int]] = {}
    for index, comparison in enumerate(comparisons):
        families.setdefault(family_of(comparison), []).append(index)
    for members in families.values():
        of_family = holm([raw[index] for index in members])
        size = sum(p is not None for p in of_family)
        for index, p_value in zip(members, of_family, strict=True):
            corrected[index], sizes[index] = p_value, size
    return [
        _contrast(comparison, p_value, size)
        for comparison, p_value, size in zip(comparisons, corrected, sizes, strict=True)
    ]


def _contrast(comparison: Comparison, p_value: float | None, family_size: int) -> Contrast:
    both = [
        (value, other)
        for value, other in zip(comparison.values, comparison.reference_values, strict=True)
        if value is not None and other is not None
    ]
    values, others = [value for value, _ in both], [other for _, other in both]
    return Contrast(
        **{field.name: getattr(comparison, field.name) for field in fields(Compared)},
        num_items=len(both),
        mean=fmean(values) if both else None,
        reference_mean=fmean(others) if both else None,
        difference=estimate_difference(values, others) if both else None,
        spread=stdev(v - o for v, o in both) if len(both) > 1 else None,
        p_value=p_value,
        family_size=family_size,
    )
