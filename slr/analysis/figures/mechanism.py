"""Mechanism at a glance: the change of the weights layer by layer, and the entropy of the next token along depth."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slr.analysis.load_results import Results
from slr.figure_style import (
    INTERVAL_COLOR,
    LIMIT_COLOR,
    MODEL_COLORS,
    MODEL_NAMES,
    TEXT_WIDTH,
    add_legend,
    in_figure,
    labelled,
)
from slr.runs.records import LogitLens, WeightChange
from slr.runs.results import of_kind
from slr.statistics.uncertainty import estimate_mean
from slr.vocabulary import ComparedModel

ROW_HEIGHT = 1.9
"""Height of a row of panels in inches."""
MODELS: tuple[ComparedModel, ...] = ("base", "soup", "hybrid", "instruct")
"""Models in the order in which they are drawn.

Before the first restored layer, the hybrid is the instruct model. A thin line on a thick one shows both.
"""
LINE_WIDTHS = {"hybrid": 2.4}
"""Width of a line in points, where it is not the usual one."""
PARTS = {"attention": "-", "mlp": "--", "norms": ":"}
"""Line style of each part of a layer. All are black, because colours stand for models."""
PART_NAMES = {"attention": "attention", "mlp": "MLP", "norms": "norms"}
"""Name of each part in legends and tables."""


def mechanism(results: Results) -> Figure:
    """Draw a column for each pair: the change of the weights above, the entropy along depth below."""
    pairs = mechanism_pairs(results)
    figure, axes = plt.subplots(
        2,
        len(pairs),
        figsize=(TEXT_WIDTH if len(pairs) > 1 else 0.6 * TEXT_WIDTH, 2 * ROW_HEIGHT + 0.6),
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
    )
    for (above, below), pair in zip(axes.T, pairs, strict=True):
        records = results.by_pair[pair]
        for panel in (above, below):
            _shade(panel, of_kind(records, LogitLens))
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        _draw_changes(above, of_kind(records, WeightChange))
        _draw_lenses(below, of_kind(records, LogitLens))
        above.set_title(in_figure(pair))
        below.set_xlabel("layer")
    axes[0, 0].set_ylabel("relative change\nof the weights")
    axes[1, 0].set_ylabel("entropy (nats)\nafter the layer")
    for row in axes:
        row[0].set_ylim(bottom=0)
    add_legend(
        figure,
        labelled(axes.flat),
        max_columns=8,
        title="bands: 95% intervals over prompts of the mean entropy",
    )
    return figure


def mechanism_pairs(results: Results) -> list[str]:
    """The pairs that have a part of the measurement."""
    records = results.of_experiment("mechanism")
    return list(dict.fromkeys(r.pair for r in records if isinstance(r, WeightChange | LogitLens)))


def _shade(axes: Axes, lenses: Sequence[LogitLens]) -> None:
    for lens in lenses:
        if lens.interval is not None:
            start, end = lens.interval
            axes.axvspan(
                start - 0.5, end - 0.5, color=INTERVAL_COLOR, alpha=0.3, linewidth=0, label="restored layers"
            )


def _draw_changes(axes: Axes, changes: Sequence[WeightChange]) -> None:
    for change in changes:
        for part, style in PARTS.items():
            # A gap in a line stands for what could not be measured.
            values = [np.nan if value is None else value for value in getattr(change, part)]
            axes.plot(values, style, color=LIMIT_COLOR, linewidth=1.2, label=PART_NAMES[part])


def _draw_lenses(axes: Axes, lenses: Sequence[LogitLens]) -> None:
    for lens in sorted(lenses, key=lambda lens: MODELS.index(lens.model)):
        means, lows, highs = [], [], []
        for of_layer in lens.entropy:
            estimate = estimate_mean(of_layer)
            ends = (None,) * 3 if estimate is None else (estimate.mean, estimate.low, estimate.high)
            for column, value in zip((means, lows, highs), ends, strict=True):
                column.append(np.nan if value is None else value)
        color = MODEL_COLORS[lens.model]
        layers = range(len(means))
        axes.fill_between(layers, lows, highs, color=color, alpha=0.25, linewidth=0)
        width = LINE_WIDTHS.get(lens.model, 1.0)
        axes.plot(layers, means, color=color, linewidth=width, label=MODEL_NAMES[lens.model])
