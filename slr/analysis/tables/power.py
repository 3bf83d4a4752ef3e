"""The smallest differences that the primary contrasts can find, for the numbers of prompts that were run or planned."""

from __future__ import annotations

from collections.abc import Mapping

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.downstream.primary import PRIMARY_GROUPS
from slr.statistics.contrasts import Contrast
from slr.statistics.power import POWER, SIGNIFICANCE, smallest_difference
from slr.vocabulary import TaskName

CAPTION = (
    f"The smallest difference that a two-sided paired t-test at {SIGNIFICANCE:g} finds with a power of {POWER:g}, "
    "from the standard deviation of the differences of prompts. The last column is for the smallest p-value of a "
    "family, which Holm's correction multiplies by the size of the family."
)
"""Sentences on the numbers, for captions."""
FAMILY = 6
"""Number of primary contrasts of a pair: three tasks, two references."""


def power(results: Results) -> Table:
    """Make a row for each primary contrast of the records."""
    rows = [
        (
            contrast.pair,
            task,
            contrast.label,
            contrast.reference,
            contrast.num_items,
            contrast.reference_mean,
            contrast.spread,
            *_differences(contrast.spread, contrast.num_items),
        )
        for task in PRIMARY_GROUPS
        for contrast in _primary(results, task)
    ]
    return Table(
        f"Power. {CAPTION}",
        (
            "pair",
            "task",
            "metric",
            "hybrid compared with",
            "prompts",
            "reference's mean",
            "standard deviation",
            "minimum detectable effect",
            "the same, corrected",
        ),
        tuple(rows),
        count_column="prompts",
    )


def planned_power(results: Results, prompts: Mapping[str, Mapping[TaskName, int]]) -> Table:
    """Make a row for each preset and task, with the largest standard deviation of the records.

    The number of different valid texts is divided by the number of samples, because presets draw different numbers.

    Args:
        results: records of any preset.
        prompts: number of prompts in the primary group of each task, by preset.
    """
    rows = []
    for task in PRIMARY_GROUPS:
        spreads = [c.spread / _scale(results, task) for c in _primary(results, task) if c.spread]
        for preset, of_preset in prompts.items():
            if spreads and (number := of_preset.get(task)):
                rows.append((preset, task, number, max(spreads), *_differences(max(spreads), number)))
    return Table(
        f"Power of planned runs, as shares from 0 to 1. {CAPTION}",
        (
            "preset",
            "task",
            "prompts",
            "standard deviation",
            "minimum detectable effect",
            "the same, corrected",
        ),
        tuple(rows),
        count_column="prompts",
    )


def _primary(results: Results, task: TaskName) -> list[Contrast]:
    return [contrast for contrast in results.contrasts(task) if contrast.is_primary]


def _scale(results: Results, task: TaskName) -> int:
    return len(results.samples_of(task)[0].texts) if task == "creative_writing" else 1


def _differences(spread: float | None, number: int) -> tuple[float | None, float | None]:
    """The smallest difference without and with correction; None where all prompts differ equally."""
    if not spread or number < 2:
        return None, None
    corrected = smallest_difference(spread, number, SIGNIFICANCE / FAMILY)
    return smallest_difference(spread, number), corrected
