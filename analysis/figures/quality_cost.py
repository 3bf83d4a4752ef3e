"""What restored layers cost in benchmarks: differences to the instruct model, task by task."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.load_results import Results
from slr.figure_style import LIMIT_COLOR, MODEL_COLORS, MODEL_MARKERS, MODEL_NAMES, TEXT_WIDTH
from slr.quality.harness_report import HarnessLine

ROW_HEIGHT = 0.38
SPACE_FOR_TITLE_AND_AXIS = 0.9
"""Inches, both."""
OFFSETS = {"slr": -0.22, "soup": 0.0, "base": 0.22}
"""Of the models within a task's row, so that none covers another."""


def quality_cost(results: Results) -> Figure:
    """A panel a pair, a row a task's metric; to the left of the line is worse than instruct."""
    lines = [line for line in results.harness_lines if line.difference is not None]
    pairs = list(dict.fromkeys(line.pair for line in lines))
    rows = list(dict.fromkeys(_row(line, lines) for line in lines))
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
        _draw_pair(panel, [line for line in lines if line.pair == pair], rows, lines)
        panel.set_title(pair)
        panel.set_xlabel("score less instruct's")
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    _add_legend(figure)
    return figure


def _draw_pair(
    axes: Axes, of_pair: Sequence[HarnessLine], rows: Sequence[str], lines: Sequence[HarnessLine]
) -> None:
    axes.axvline(0, color=LIMIT_COLOR, linewidth=0.8)
    for line in of_pair:
        difference = line.difference
        if difference is None or line.model not in OFFSETS:
            continue
        place = rows.index(_row(line, lines)) + OFFSETS[line.model]
        name = _style_name(line.model)
        axes.scatter(
            [difference.mean], [place], color=MODEL_COLORS[name], marker=MODEL_MARKERS[name], s=18, zorder=3
        )
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [place] * 2, color=MODEL_COLORS[name], linewidth=0.9)


def _row(line: HarnessLine, lines: Sequence[HarnessLine]) -> str:
    """The task, with its metric where it has several."""
    metrics = {other.score.metric for other in lines if other.score.task == line.score.task}
    task = line.score.task.removeprefix("testbed_").removeprefix("english_").replace("_", " ")
    return f"{task}\n{line.score.metric.split(',')[1]}" if len(metrics) > 1 else task


def _add_legend(figure: Figure) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=MODEL_COLORS[_style_name(model)],
            marker=MODEL_MARKERS[_style_name(model)],
            markersize=4,
            linewidth=0.9,
            label=MODEL_NAMES[_style_name(model)],
        )
        for model in OFFSETS
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        title="lines: 95% intervals over documents, paired with instruct",
        title_fontsize=7,
    )


def _style_name(model: str) -> str:
    return "hybrid" if model == "slr" else model
