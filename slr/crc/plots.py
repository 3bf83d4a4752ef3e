"""Figures of a CRC study: heatmaps over all layer intervals, and validity against diversity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MultipleLocator

from slr.crc.report import KEPT, CrcReport, restoration_candidates, soup_candidates
from slr.crc.selection import Candidate, Choice
from slr.figure_style import (
    DIVERSITY_MAP,
    INTERVAL_COLOR,
    INTERVAL_MAP,
    LIMIT_COLOR,
    MODEL_COLORS,
    MODEL_MARKERS,
    MODEL_NAMES,
    TEXT_WIDTH,
    VALIDITY_MAP,
    add_legend,
    in_figure,
    labelled,
    model_marker,
    save_figure,
    use_style,
)
from slr.intervals import LayerInterval
from slr.runs.records import AnyRecord
from slr.runs.results import of_pair
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import ModelKind

Quantity = Literal["validity", "diversity"]
Limits = tuple[float, float]

MAX_COLUMNS = 3
"""Number of panels in a row of the trade-off figure."""
PANEL_HEIGHT = 2.3
"""Height of one panel of the trade-off figure, in inches."""

_STAR: dict[str, Any] = {
    "marker": MODEL_MARKERS["hybrid"],
    "color": MODEL_COLORS["hybrid"],
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
    # A white rim keeps the star visible on every colour of a heatmap.
    "path_effects": [Stroke(linewidth=2.6, foreground="white"), Normal()],
}
# The hatching has no background, so that the colours below it still match the scale.
_HATCHED: dict[str, Any] = {"facecolor": "none", "edgecolor": "white", "hatch": "//////"}


def save_pictures(reports: Sequence[CrcReport], records: Sequence[AnyRecord], directory: Path) -> list[Path]:
    """Draw the heatmaps and the trade-off of all reported pairs and write them as PNG and PDF.

    Args:
        reports: one report for each pair.
        records: records that hold the scores of all intervals of these pairs.
        directory: where the files are written.

    Returns:
        The PNG files.
    """
    use_style()
    written = [
        *save_figure(heatmaps(reports, records), directory, "crc_heatmaps"),
        *save_figure(tradeoff(reports, records), directory, "crc_tradeoff"),
    ]
    return [path for path in written if path.suffix == ".png"]


def heatmaps(reports: Sequence[CrcReport], records: Sequence[AnyRecord]) -> Figure:
    """Draw validity (left) and diversity (right) of every interval: a row for each pair.

    Each column has one colour scale, so that pairs can be compared.

    Args:
        reports: one report for each pair.
        records: records that hold the scores of all intervals of these pairs.
    """
    figure, axes = plt.subplots(
        len(reports),
        2,
        figsize=(TEXT_WIDTH, 0.41 * TEXT_WIDTH * len(reports) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    scored = [_of_one_stack(report, of_pair(records, report.pair)) for report in reports]
    quantities: tuple[Quantity, ...] = ("validity", "diversity")
    for column, quantity in zip(axes.T, quantities, strict=True):
        limits = _limits(reports, scored, quantity)
        for panel, report, intervals in zip(column, reports, scored, strict=True):
            draw_heatmap(panel, report, intervals, quantity, limits)
    figure.legend(handles=_heatmap_legend(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _of_one_stack(report: CrcReport, records: Sequence[AnyRecord]) -> list[Candidate[LayerInterval]]:
    """Every interval as the chosen hybrid restores its layers, because a heatmap shows one number for each."""
    candidates = restoration_candidates(records, [report.shown_stack])
    return [Candidate(c.choice.interval, c.validity, c.diversity, c.validity_ratio) for c in candidates]


def draw_heatmap(
    axes: Axes,
    report: CrcReport,
    scored: Sequence[Candidate[LayerInterval]],
    quantity: Quantity,
    limits: Limits = (0, 1),
) -> None:
    """Draw one quantity over all intervals: start layer upwards, end layer (not restored) to the right.

    A star marks the chosen interval. In the map of diversity, inadmissible intervals are hatched.

    Args:
        axes: where to draw.
        report: the pair's report, which holds the chosen interval and the rule of admission.
        scored: every interval with its scores.
        quantity: "validity" or "diversity".
        limits: lowest and highest value of the colour scale.
    """
    num_layers = report.num_layers
    values = np.full((num_layers, num_layers), np.nan)
    inadmissible = []
    for candidate in scored:
        interval = candidate.choice
        value = candidate.validity if quantity == "validity" else candidate.diversity
        values[interval.start, interval.end - 1] = np.nan if value is None else value
        if not report.admits(candidate):
            inadmissible.append(interval)
    image = axes.imshow(
        values,
        origin="lower",
        extent=(0.5, num_layers + 0.5, -0.5, num_layers - 0.5),
        cmap=VALIDITY_MAP if quantity == "validity" else DIVERSITY_MAP,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )
    if quantity == "diversity":
        _hatch(axes, inadmissible)
    _mark_chosen(axes, report)
    restored = f", {stack}" if str(stack := report.shown_stack) else ""
    axes.set_title(f"{in_figure(report.pair)}: CRC {quantity}{restored}")
    axes.set_xlabel("end layer (not included)")
    axes.set_ylabel("start layer")
    step = 2 if num_layers <= 16 else 4
    axes.set_xticks(range(step, num_layers + 1, step))
    axes.set_yticks(range(0, num_layers, step))
    # Ticks at tenths have short numbers, which leaves room for names next to them.
    ticks = MultipleLocator(0.1 if limits[1] - limits[0] < 0.8 else 0.2)
    colorbar = axes.figure.colorbar(image, ax=axes, shrink=0.9, ticks=ticks, format="%.1f")
    _mark_models(colorbar, report, quantity)


def tradeoff(reports: Sequence[CrcReport], records: Sequence[AnyRecord]) -> Figure:
    """Draw diversity against validity, one panel for each pair, three in a row."""
    columns = min(len(reports), MAX_COLUMNS)
    rows = -(-len(reports) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(TEXT_WIDTH if columns > 1 else 0.7 * TEXT_WIDTH, PANEL_HEIGHT * rows + 0.7),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for panel in axes.flat[len(reports) :]:
        panel.axis("off")
    for panel, report in zip(axes.flat, reports, strict=False):
        draw_tradeoff(panel, report, of_pair(records, report.pair))
        panel.label_outer()
    shares = ScalarMappable(Normalize(0, 1), INTERVAL_MAP)
    figure.colorbar(shares, ax=axes.ravel().tolist(), label="share of layers restored", pad=0.01)
    # The entries of all panels are merged, because a pair without a choice lacks some of them.
    add_legend(
        figure,
        labelled(axes.flat),
        max_columns=4,
        title="lines through a marker: 95% intervals over prompts",
    )
    return figure


def draw_tradeoff(axes: Axes, report: CrcReport, records: Sequence[AnyRecord]) -> None:
    """Draw one pair: a dot for every interval, darker with more restored layers, and the models.

    Args:
        axes: where to draw.
        report: the pair's report.
        records: the pair's records.
    """
    scored = [c for c in restoration_candidates(records, report.stacks) if c.diversity is not None]
    shares = [len(c.choice.interval) / report.num_layers for c in scored]
    points = axes.scatter(
        *_points(scored),
        c=shares,
        cmap=INTERVAL_MAP,
        vmin=0,
        vmax=1,
        s=7,
        linewidths=0,
        label="layer interval",
        zorder=2,
    )
    points.set_gid("intervals")
    axes.plot(*_points(report.front), color=LIMIT_COLOR, linewidth=0.8, label="their Pareto front", zorder=3)
    soups = sorted(soup_candidates(records), key=lambda c: c.change)
    axes.plot(
        *_points(soups),
        color=MODEL_COLORS["soup"],
        linewidth=1,
        marker=".",
        markersize=3,
        label="soups, alpha from 0 to 1",
        zorder=3,
    )
    axes.axvline(
        report.min_validity, color=LIMIT_COLOR, linestyle=":", linewidth=1, label="least validity allowed"
    )
    models: tuple[ModelKind, ...] = ("base", "instruct", "hybrid", "soup")
    for model in models:
        _draw_model(axes, report, model)
    axes.set_title(in_figure(report.pair))
    axes.set_xlabel("CRC validity")
    axes.set_ylabel("CRC diversity")


def _draw_model(axes: Axes, report: CrcReport, model: ModelKind) -> None:
    summary = report.summary(model, "selection")
    if summary is None or summary.validity is None or summary.diversity is None:
        return
    chosen = "chosen " if model in ("hybrid", "soup") else ""
    look: dict[str, Any] = model_marker(model)
    axes.errorbar(
        summary.validity.mean,
        summary.diversity.mean,
        xerr=_half_widths(summary.validity),
        yerr=_half_widths(summary.diversity),
        elinewidth=1,
        label=f"{chosen}{MODEL_NAMES[model]}",
        zorder=5,
        **look,
    )


def _half_widths(estimate: Estimate) -> list[list[float]] | None:
    if estimate.low is None or estimate.high is None:
        return None
    return [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]


def _points(scored: Sequence[Candidate[Choice]]) -> tuple[list[float], list[float]]:
    defined = [(c.validity, c.diversity) for c in scored if c.diversity is not None]
    return [validity for validity, _ in defined], [diversity for _, diversity in defined]


def _mark_chosen(axes: Axes, report: CrcReport) -> None:
    """Mark the chosen cell with a star, and write its name into the free corner.

    Below the name stands whether the interval keeps the rule on held-out prompts.
    """
    interval = report.interval
    name = "no interval is\nvalid enough" if report.chosen is None else f"layers {report.chosen}"
    is_kept = report.keeps_rule("hybrid", "held_out")
    if is_kept is not None:
        name += f"\nheld-out: rule {KEPT[is_kept]}"
    axes.text(0.04, 0.95, name, transform=axes.transAxes, va="top", fontsize=7)
    if interval is not None:
        axes.plot(interval.end, interval.start, **_STAR, markersize=8, zorder=5, gid="chosen", clip_on=False)


def _hatch(axes: Axes, intervals: Sequence[LayerInterval]) -> None:
    cells = [Rectangle((interval.end - 0.5, interval.start - 0.5), 1, 1) for interval in intervals]
    axes.add_collection(PatchCollection(cells, **_HATCHED, linewidth=0, gid="inadmissible"))


def _heatmap_legend() -> list[Artist]:
    # White lines need a background on paper. Any colour of the map will do.
    on_paper: dict[str, Any] = {**_HATCHED, "facecolor": INTERVAL_COLOR}
    return [
        Line2D([], [], linestyle="none", **_STAR, markersize=9, label="chosen interval"),
        Patch(**on_paper, linewidth=0, label="validity too low to be chosen"),
    ]


def _mark_models(colorbar: Colorbar, report: CrcReport, quantity: Quantity) -> None:
    """Draw lines on the colour bar at the values of base and instruct, with their names next to them."""
    values = dict(_model_means(report, quantity))
    bottom, top = colorbar.ax.get_ylim()
    heights = _apart(values, 0.075 * (top - bottom))
    for model, value in values.items():
        color = MODEL_COLORS[model]
        for line_color, width in (("white", 3.2), (color, 2)):
            colorbar.ax.plot(
                [0, 1], [value] * 2, color=line_color, linewidth=width, solid_capstyle="butt", clip_on=False
            )
        colorbar.ax.annotate(
            model,
            (1, heights[model]),
            xytext=(19, 0),  # clears the numbers of the scale
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=7,
        )
    colorbar.ax.tick_params(pad=1)


def _model_means(report: CrcReport, quantity: Quantity) -> Iterator[tuple[ModelKind, float]]:
    """Iterate over the means of base and instruct, where they are defined."""
    models: tuple[ModelKind, ...] = ("base", "instruct")
    for model in models:
        summary = report.summary(model, "selection")
        if summary is None:
            continue
        estimate = summary.validity if quantity == "validity" else summary.diversity
        if estimate is not None:
            yield model, estimate.mean


def _limits(
    reports: Sequence[CrcReport], scored: Sequence[Sequence[Candidate[Choice]]], quantity: Quantity
) -> Limits:
    """Find the tenths around all values of a quantity, so that the whole colour scale is used."""
    values = [
        candidate.validity if quantity == "validity" else candidate.diversity
        for intervals in scored
        for candidate in intervals
    ]
    values += [mean for report in reports for _, mean in _model_means(report, quantity)]
    defined = [value for value in values if value is not None]
    low, high = math.floor(10 * min(defined)) / 10, math.ceil(10 * max(defined)) / 10
    return low, max(high, low + 0.1)


def _apart(values: dict[ModelKind, float], distance: float) -> dict[ModelKind, float]:
    """Move the heights of two labels apart to the distance at which they do not overlap."""
    if len(values) < 2:
        return dict(values)
    (low, low_value), (high, high_value) = sorted(values.items(), key=lambda item: item[1])
    push = max(0.0, distance - (high_value - low_value)) / 2
    return {low: low_value - push, high: high_value + push}
