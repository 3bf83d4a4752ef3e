"""The primary metric of each task, and the quality next to it, named in one place.

A claim of more diversity rests on these metrics alone. They count only good answers, so that broken texts cannot pass
as diversity:

- Creative writing: the number of different valid texts among a prompt's samples.
- Open questions: the share of all right answers that a prompt's samples find, on closed lists.
- Reasoning: pass@k on all problems.
"""

from __future__ import annotations

from slr.downstream.groups import ALL_GENRES, ALL_PROBLEMS
from slr.downstream.metric import MetricId
from slr.vocabulary import ComparedModel, Source, TaskName

PASS_AT: tuple[tuple[int, MetricId], ...] = (
    (1, "pass_at_1"),
    (4, "pass_at_4"),
    (16, "pass_at_16"),
    (64, "pass_at_64"),
)
"""Number of samples k, and the metric pass@k."""
PRIMARY_GROUPS: dict[TaskName, str] = {
    "creative_writing": ALL_GENRES,
    "open_qa": "closed",
    "reasoning": ALL_PROBLEMS,
}
"""Prompts over which each task's primary metric is taken."""
PRIMARY_METHOD: ComparedModel = "hybrid"
"""Method whose contrasts with instruct and soup form the family of primary contrasts."""


def primary_metric(task: TaskName, num_samples: int) -> MetricId:
    """Name the primary metric of a task.

    For reasoning, k is the largest one of which twice as many samples were drawn. With k = n a problem's value would be
    0 or 1, which says little about a problem and needs many of them.

    Args:
        task: the task.
        num_samples: number of samples of each prompt.
    """
    if task == "creative_writing":
        return "distinct_valid"
    if task == "open_qa":
        return "coverage"
    small_enough: list[MetricId] = [id_ for k, id_ in PASS_AT if 2 * k <= num_samples]
    return small_enough[-1] if small_enough else "pass_at_1"


def quality_metric(task: TaskName, source: Source) -> MetricId:
    """Name the metric of quality next to a task's primary metric: a share of good samples, from 0 to 1.

    Args:
        task: the task.
        source: origin of the prompts.
    """
    if task == "creative_writing":
        return "accepted" if source == "testbed" else "valid"
    return "precision" if task == "open_qa" else "pass_at_1"
