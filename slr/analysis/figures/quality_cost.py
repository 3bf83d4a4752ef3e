"""The cost of restored layers in benchmarks: differences from the instruct model, task by task."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slr.analysis.load_results import Results
from slr.figure_style import (
    LIMIT_COLOR,
    MODEL_COLORS,
    MODEL_MARKERS,
    MODEL_NAMES,
    TEXT_WIDTH,
    add_legend,
    in_figure,
)
from slr.statistics.contrasts import Contrast

ROW_HEIGHT = 0.38
"""Height of a row in inches."""
SPACE_FOR_TITLE_AND_AXIS = 1.2
"""Height of title and axis together in inches."""
OFFSETS = {"hybrid": -0.26, "soup": 0.0, "base": 0.26}
"""Offset of each model within a task's row, in rows, so that no marker covers another."""
TASK_NAMES = {
    "testbed_facts": "facts",
    "testbed_sums": "sums",
    "testbed_subjects": "subjects",
    "english_facts": "facts",
}
"""Name of each of our own tasks by its id. Tasks of lm-eval are shown by their ids."""
FILTER_NAMES = {
    "exact_match,strict-match": "strict-match",
    "exact_match,flexible-extract": "flexible-extract",
}
"""Name of each metric of a task that has several, by lm-eval's name."""


def quality_cost(results: Results) -> Figure:
    """Draw a panel for each pair, with a row for each metric. Worse than instruct is to the left of the line."""
    contrasts = [c for c in results.contrasts("quality") if c.reference_model == "instruct"]
    pairs = list(dict.fromkeys(contrast.pair for contrast in contrasts))
    rows = list(dict.fromkeys(_row(contrast, contrasts) for contrast in contrasts))
    figure, axes = plt.subplots(
        1,
        len(pairs),
        figsize=(TEXT_WIDTH, SPACE_FOR_TITLE_AND_AXIS + ROW_HEIGHT * len(rows)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, pair in zip(axes.flat, pairs, strict=True):
        _draw_pair(panel, [contrast for contrast in contrasts if contrast.pair == pair], rows, contrasts)
        panel.set_title(in_figure(pair))
        panel.set_xlabel("score less instruct's")
    axes[0, 0].set_yticks(range(len(rows)), rows)
    # The limits are reversed, so that the first row is at the top.
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    _add_legend(figure)
    return figure


def _draw_pair(
    axes: Axes, of_pair: Sequence[Contrast], rows: Sequence[str], contrasts: Sequence[Contrast]
) -> None:
    axes.axvline(0, color=LIMIT_COLOR, linewidth=0.8)
    for contrast in of_pair:
        difference = contrast.difference
        if difference is None or contrast.model not in OFFSETS:
            continue
        place = rows.index(_row(contrast, contrasts)) + OFFSETS[contrast.model]
        color, marker = MODEL_COLORS[contrast.model], MODEL_MARKERS[contrast.model]
        axes.scatter([difference.mean], [place], color=color, marker=marker, s=18, zorder=3)
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [place] * 2, color=color, linewidth=0.9)


def _row(contrast: Contrast, contrasts: Sequence[Contrast]) -> str:
    """Name of a row: the task, and the metric if the task has several."""
    metrics = {other.metric for other in contrasts if other.group == contrast.group}
    task = in_figure(TASK_NAMES.get(contrast.group, contrast.group.replace("_", " ")))
    metric = in_figure(FILTER_NAMES.get(contrast.metric, contrast.metric))
    return f"{task}\n{metric}" if len(metrics) > 1 else task


def _add_legend(figure: Figure) -> None:
    entries = [
        (
            MODEL_NAMES[model],
            Line2D(
                [], [], color=MODEL_COLORS[model], marker=MODEL_MARKERS[model], markersize=4, linewidth=0.9
            ),
        )
        for model in OFFSETS
    ]
    title = "lines: 95% intervals over documents, paired with instruct"
    add_legend(figure, entries, max_columns=len(entries), title=title)
