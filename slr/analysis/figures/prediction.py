"""What CRC predicts: each interval's measures on tasks and benchmarks against its CRC diversity."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from slr.analysis.load_results import Results
from slr.figure_style import (
    LIMIT_COLOR,
    MODEL_COLORS,
    MODEL_MARKERS,
    TEXT_WIDTH,
    VALIDITY_MAP,
    add_legend,
    in_figure,
    labelled,
)
from slr.prediction.report import Measure, PredictionReport
from slr.statistics.uncertainty import Estimate

ROW_HEIGHT = 1.75
"""Height of a row of panels in inches."""


def prediction(results: Results) -> Figure:
    """Draw a row for each pair, and a column for each primary metric and each score by lm-eval."""
    reports = results.prediction_reports
    columns = {measure.id: measure for report in reports for measure in _shown(report)}
    figure, axes = plt.subplots(
        len(reports),
        len(columns),
        figsize=(TEXT_WIDTH, ROW_HEIGHT * len(reports) + 0.6),
        squeeze=False,
        sharex="row",
        layout="constrained",
    )
    validities = [point.validity for report in reports for point in report.points]
    colors = ScalarMappable(Normalize(min(validities), max(validities)), VALIDITY_MAP)
    for row, report in zip(axes, reports, strict=True):
        for panel, measure in zip(row, columns.values(), strict=True):
            if measure in report.measures:
                _draw(panel, report, measure, colors)
            else:
                panel.set_axis_off()
        row[0].set_ylabel(in_figure(report.pair))
    for panel, measure in zip(axes[0], columns.values(), strict=True):
        panel.set_title(f"{in_figure(measure.label)}\n{panel.get_title()}", fontsize=7)
    for panel in axes[-1]:
        panel.set_xlabel("CRC diversity")
    figure.colorbar(colors, ax=axes.ravel().tolist(), label="CRC validity", pad=0.01, aspect=30)
    add_legend(
        figure, labelled(axes.flat), max_columns=3, title="r: Spearman's correlation over the intervals"
    )
    return figure


def _shown(report: PredictionReport) -> list[Measure]:
    return [measure for measure in report.measures if measure.aspect == "primary" or measure.task is None]


def _draw(axes: Axes, report: PredictionReport, measure: Measure, colors: ScalarMappable) -> None:
    # The chosen interval comes last, so that no other one covers it.
    for point in sorted(report.points, key=lambda point: point.is_chosen):
        estimate = point.means[measure.id]
        if estimate is None:
            continue
        if estimate.low is not None and estimate.high is not None:
            ends = [estimate.low, estimate.high]
            axes.plot([point.diversity] * 2, ends, color=LIMIT_COLOR, linewidth=0.4, alpha=0.5)
        axes.scatter(
            [point.diversity],
            [estimate.mean],
            color=colors.to_rgba(np.array([point.validity])),
            edgecolors=MODEL_COLORS["hybrid"] if point.is_chosen else LIMIT_COLOR,
            linewidths=1.4 if point.is_chosen else 0.3,
            marker=MODEL_MARKERS["hybrid"] if point.is_chosen else "o",
            s=110 if point.is_chosen else 18,
            zorder=3,
            label="chosen interval" if point.is_chosen else "another interval",
        )
    found = report.correlation("diversity", measure.id)
    axes.set_title(f"r = {_short(found)}" if found else "r is not defined", fontsize=7)


def _short(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
