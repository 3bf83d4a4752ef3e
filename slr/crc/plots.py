"""Pictures of a CRC study: heatmaps over all layer intervals, and the trade-off of validity and diversity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slr.crc.report import CrcReport, candidates
from slr.crc.selection import Candidate
from slr.figure_style import (
    DIVERSITY_MAP,
    LIMIT_COLOR,
    MODEL_COLORS,
    MODEL_MARKERS,
    MODEL_NAMES,
    PANEL_WIDTH,
    VALIDITY_MAP,
    save_figure,
    use_style,
)
from slr.intervals import LayerInterval
from slr.records import AnyRecord, ModelKind
from slr.uncertainty import Estimate


def save_pictures(reports: Sequence[CrcReport], records: Sequence[AnyRecord], directory: Path) -> list[Path]:
    """Draw heatmaps and trade-off of all the pairs reported; returns the PNG files."""
    use_style()
    written = [
        *save_figure(heatmaps(reports, records), directory, "crc_heatmaps"),
        *save_figure(tradeoff(reports, records), directory, "crc_tradeoff"),
    ]
    return [path for path in written if path.suffix == ".png"]


def heatmaps(reports: Sequence[CrcReport], records: Sequence[AnyRecord]) -> Figure:
    """Validity and diversity of every interval: a row a pair, in two columns."""
    figure, axes = plt.subplots(
        len(reports),
        2,
        figsize=(2.2 * PANEL_WIDTH, 0.92 * PANEL_WIDTH * len(reports)),
        squeeze=False,
        layout="constrained",
    )
    for row, report in zip(axes, reports, strict=True):
        scored = candidates([r for r in records if r.pair == report.pair], "hybrid")
        draw_heatmap(row[0], report, scored, "validity")
        draw_heatmap(row[1], report, scored, "diversity")
    return figure


def draw_heatmap(axes: Axes, report: CrcReport, scored: Sequence[Candidate], quantity: str) -> None:
    """One quantity over all intervals: first restored layer upwards, last restored layer to the right.

    The chosen cell has a frame and a star. In the map of diversity, inadmissible intervals are crossed out.
    """
    values = np.full((report.num_layers, report.num_layers), np.nan)
    for candidate in scored:
        assert isinstance(candidate.choice, LayerInterval)
        value = candidate.validity if quantity == "validity" else candidate.diversity
        cell = candidate.choice.start, candidate.choice.end - 1
        values[cell] = np.nan if value is None else value
        if quantity == "diversity" and candidate.validity < report.min_validity:
            axes.plot(cell[1], cell[0], marker="x", color="white", markersize=2.6, markeredgewidth=0.6)
    image = axes.imshow(
        values,
        origin="lower",
        cmap=VALIDITY_MAP if quantity == "validity" else DIVERSITY_MAP,
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    if report.interval is not None:
        _mark_chosen(axes, report.interval)
    crossed = " (x: validity too low)" if quantity == "diversity" else ""
    axes.set_title(f"{report.pair}: {quantity}{crossed}")
    axes.set_xlabel("last restored layer")
    axes.set_ylabel("first restored layer")
    ticks = range(0, report.num_layers, 2 if report.num_layers <= 16 else 4)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    _mark_models(axes.figure.colorbar(image, ax=axes, shrink=0.85), report, quantity)


def tradeoff(reports: Sequence[CrcReport], records: Sequence[AnyRecord]) -> Figure:
    """Diversity against validity: a panel a pair."""
    figure, axes = plt.subplots(
        1,
        len(reports),
        figsize=(PANEL_WIDTH * max(len(reports), 1.4), PANEL_WIDTH),
        squeeze=False,
        layout="constrained",
    )
    for panel, report in zip(axes[0], reports, strict=True):
        draw_tradeoff(panel, report, [record for record in records if record.pair == report.pair])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_tradeoff(axes: Axes, report: CrcReport, records: Sequence[AnyRecord]) -> None:
    """One pair: every interval a dot, darker the more layers it restores, with all that it is compared to."""
    scored = [c for c in candidates(records, "hybrid") if c.diversity is not None]
    lengths = [len(c.choice) for c in scored if isinstance(c.choice, LayerInterval)]
    points = axes.scatter(
        [c.validity for c in scored],
        [c.diversity for c in scored],
        c=lengths,
        cmap="Greys",
        vmin=-0.3 * report.num_layers,
        vmax=report.num_layers,
        s=9,
        linewidths=0,
        label="interval (darker: more layers)",
        zorder=2,
    )
    points.set_gid("intervals")
    axes.plot(
        *_points(report.front), color=LIMIT_COLOR, linewidth=0.8, label="Pareto front of intervals", zorder=3
    )
    soups = sorted(candidates(records, "soup"), key=lambda c: c.change)
    axes.plot(
        *_points(soups),
        color=MODEL_COLORS["soup"],
        linewidth=1,
        marker=".",
        markersize=4,
        label="soups, alpha 0 to 1",
        zorder=3,
    )
    axes.axvline(report.min_validity, color=LIMIT_COLOR, linestyle=":", linewidth=1, label="validity needed")
    models: tuple[ModelKind, ...] = ("base", "instruct", "soup", "hybrid")
    for model in models:
        _draw_model(axes, report, model)
    axes.set_title(report.pair)
    axes.set_xlabel("validity")
    axes.set_ylabel("diversity")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)


def _draw_model(axes: Axes, report: CrcReport, model: ModelKind) -> None:
    line = report.line(model, "selection")
    if line is None or line.validity is None or line.diversity is None:
        return
    chosen = "chosen " if model in ("hybrid", "soup") else ""
    axes.errorbar(
        line.validity.mean,
        line.diversity.mean,
        xerr=_half_widths(line.validity),
        yerr=_half_widths(line.diversity),
        fmt=MODEL_MARKERS[model],
        color=MODEL_COLORS[model],
        markersize=10 if model == "hybrid" else 6,
        markeredgecolor="black",
        markeredgewidth=0.6,
        elinewidth=1,
        label=f"{chosen}{MODEL_NAMES[model]}",
        zorder=5,
    )


def _half_widths(estimate: Estimate) -> list[list[float]] | None:
    if estimate.low is None or estimate.high is None:
        return None
    return [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]


def _points(scored: Sequence[Candidate]) -> tuple[list[float], list[float]]:
    defined = [(c.validity, c.diversity) for c in scored if c.diversity is not None]
    return [validity for validity, _ in defined], [diversity for _, diversity in defined]


def _mark_chosen(axes: Axes, interval: LayerInterval) -> None:
    column, row = interval.end - 1, interval.start
    for color, width in (("white", 3.0), ("black", 1.2)):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=color, linewidth=width, zorder=4))
    axes.plot(
        column,
        row,
        marker=MODEL_MARKERS["hybrid"],
        color=MODEL_COLORS["hybrid"],
        markeredgecolor="white",
        markeredgewidth=0.6,
        markersize=8,
        zorder=5,
        gid="chosen",
    )


def _mark_models(colorbar: Colorbar, report: CrcReport, quantity: str) -> None:
    """Lines on the colour bar at the values of base and instruct, with their names beside them."""
    models: tuple[ModelKind, ...] = ("base", "instruct")
    values: dict[ModelKind, float] = {}
    for model in models:
        line = report.line(model, "selection")
        estimate = line and (line.validity if quantity == "validity" else line.diversity)
        if estimate:
            values[model] = estimate.mean
    heights = _apart(values)
    for model, value in values.items():
        colorbar.ax.plot([0, 1], [value] * 2, color="white", linewidth=3.2, solid_capstyle="butt")
        colorbar.ax.plot([0, 1], [value] * 2, color=MODEL_COLORS[model], linewidth=2, solid_capstyle="butt")
        colorbar.ax.text(2.9, heights[model], model, color=MODEL_COLORS[model], va="center", fontsize=7)
    colorbar.ax.tick_params(pad=1)


def _apart(values: dict[ModelKind, float], distance: float = 0.075) -> dict[ModelKind, float]:
    """Heights for labels of two values on a scale from 0 to 1, moved apart where they would overlap."""
    if len(values) < 2:
        return dict(values)
    (low, low_value), (high, high_value) = sorted(values.items(), key=lambda item: item[1])
    push = max(0.0, distance - (high_value - low_value)) / 2
    return {low: low_value - push, high: high_value + push}
