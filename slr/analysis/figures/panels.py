"""What figures of downstream experiments share: a panel for each pair and group, and a colour for each model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slr.analysis.load_results import Results
from slr.downstream.methods import Method
from slr.figure_style import (
    LIMIT_COLOR,
    METHOD_NAMES,
    MODEL_COLORS,
    MODEL_NAMES,
    TEXT_WIDTH,
    add_legend,
    in_figure,
    labelled,
)
from slr.runs.records import Samples
from slr.runs.results import by_pair
from slr.vocabulary import ComparedModel

PANEL_HEIGHT = 2.3
"""Height of a panel in inches."""
MAX_COLUMNS = 7
"""Largest number of entries of a legend in one row."""
RANDOM_INTERVALS = "random intervals"
"""Name that all hybrids with random intervals share in the legend."""
DrawnAs = ComparedModel | Literal["base_few_shot"]
"""What has a colour of its own: a model, or the base model outside the chat template."""
STYLES: dict[DrawnAs, tuple[str, str]] = {
    **{model: (MODEL_COLORS[model], MODEL_NAMES[model]) for model in ("base", "instruct", "hybrid", "soup")},
    "base_few_shot": ("#000000", METHOD_NAMES["base_few_shot"]),
    "early": ("#56B4E9", "early"),
    "late": ("#E69F00", "late"),
    "random-1": (LIMIT_COLOR, RANDOM_INTERVALS),
    "random-2": (LIMIT_COLOR, RANDOM_INTERVALS),
    "random-3": (LIMIT_COLOR, RANDOM_INTERVALS),
}
"""Colour and name of each, in the order in which they are drawn."""
Shared = Literal["none", "row", "all"]
"""Which panels share the scale of an axis."""


def panels(
    results: Results,
    experiment: str,
    draw: Callable[[Axes, str, str], None],
    xlabel: str,
    ylabel: str,
    groups: Sequence[str] | None = None,
    sharex: Shared = "none",
    sharey: Shared = "row",
) -> tuple[Figure, Axes]:
    """Draw a column for each pair and a row for each group of prompts; return the figure and its first panel.

    Args:
        results: the results.
        experiment: name of the experiment whose samples are drawn.
        draw: draws one panel, given its axes, the pair and the group.
        xlabel: label below every column.
        ylabel: label left of every row.
        groups: the groups; None for all groups of prompts. Where ``draw`` draws nothing, the panel says so.
        sharex: panels that share the horizontal scale.
        sharey: panels that share the vertical scale.
    """
    samples = results.samples_of(experiment)
    pairs = list(by_pair(samples))
    groups = sorted({record.group for record in samples}) if groups is None else groups
    figure, axes = plt.subplots(
        len(groups),
        len(pairs),
        figsize=(TEXT_WIDTH, PANEL_HEIGHT * len(groups) + 0.5),
        squeeze=False,
        sharex=sharex,
        sharey=sharey,
        layout="constrained",
    )
    for row, group in zip(axes, groups, strict=True):
        for panel, pair in zip(row, pairs, strict=True):
            panel.set_title(in_figure(pair))
            panel.set_xlabel(xlabel)
            draw(panel, pair, group)
            if not np.isfinite(panel.dataLim.get_points()).all():
                _say_nothing_is_here(panel)
        row[0].set_ylabel(f"{ylabel}\n{in_figure(group)}" if len(groups) > 1 else ylabel)
    return figure, axes[0, 0]


def _say_nothing_is_here(axes: Axes) -> None:
    # Axes that share a scale share their ticks too, so these are hidden and not removed.
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    axes.text(
        0.5, 0.5, "not in these records", transform=axes.transAxes, ha="center", color=LIMIT_COLOR, fontsize=7
    )


def with_legend(figure: Figure, title: str | None = None) -> Figure:
    """Put one legend for all panels below them."""
    entries = labelled(figure.axes)
    number = len(dict(entries))
    # Two rows of nearly equal length look better than a full one with a short rest.
    columns = number if number <= MAX_COLUMNS else math.ceil(number / 2)
    add_legend(figure, entries, max_columns=columns, title=title)
    return figure


def drawn_as(method: Method | Samples) -> DrawnAs:
    """What a method is drawn as."""
    return "base_few_shot" if method.prompting == "few_shot" else method.model


def by_model(samples: Sequence[Samples]) -> dict[DrawnAs, list[Samples]]:
    """The samples of each model, in the order of ``STYLES``."""
    models: dict[DrawnAs, list[Samples]] = {
        model: [record for record in samples if drawn_as(record) == model] for model in STYLES
    }
    return {model: records for model, records in models.items() if records}
