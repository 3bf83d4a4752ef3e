"""How often each layer would be restored by other prompts, and what the choices would gain."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from slr.analysis.load_results import Results
from slr.figure_style import LIMIT_COLOR, MODEL_COLORS, TEXT_WIDTH, add_legend, in_figure, labelled
from slr.stability.report import StabilityReport

ROW_HEIGHT = 1.55
"""Height of one pair's panels, in inches."""


def choice_stability(results: Results) -> Figure:
    """Draw a row for each pair: shares of draws by layer (left), and gains by number of prompts (right)."""
    reports = results.stability_reports
    figure, axes = plt.subplots(
        len(reports),
        2,
        figsize=(TEXT_WIDTH, ROW_HEIGHT * len(reports) + 0.6),
        squeeze=False,
        layout="constrained",
    )
    for (left, right), report in zip(axes, reports, strict=True):
        _draw_layers(left, report)
        _draw_gains(right, report)
    for left, right in axes[:-1]:
        left.set_xlabel("")
        right.set_xlabel("")
    add_legend(figure, labelled(axes.flat), max_columns=4)
    return figure


def _draw_layers(axes: Axes, report: StabilityReport) -> None:
    axes.axvspan(
        report.interval.start - 0.5,
        report.interval.end - 0.5,
        color="#E3E3E3",
        label="reported choice",
        zorder=0,
    )
    axes.bar(
        range(report.num_layers),
        report.restored_shares,
        width=0.8,
        color=MODEL_COLORS["hybrid"],
        label="share of draws that restore the layer",
        zorder=2,
    )
    axes.set_xlim(-0.6, report.num_layers - 0.4)
    axes.set_ylim(0, 1)
    axes.set_xticks(range(0, report.num_layers, 2 if report.num_layers <= 16 else 4))
    axes.set_title(in_figure(report.pair))
    axes.set_xlabel("layer")
    axes.set_ylabel("share of draws")


def _draw_gains(axes: Axes, report: StabilityReport) -> None:
    """Draw median and range of the gains by the number of prompts in a draw."""
    summaries = [report.summary(sample) for sample in report.samples]
    sizes = [summary.num_prompts for summary in summaries]
    low, median, high = zip(*(summary.gain for summary in summaries), strict=True)
    axes.fill_between(
        sizes, low, high, color=MODEL_COLORS["hybrid"], alpha=0.25, linewidth=0, label="5% to 95%"
    )
    axes.plot(sizes, median, color=MODEL_COLORS["hybrid"], marker="o", markersize=3, label="median choice")
    axes.axhline(
        report.gains[report.reported],
        color=LIMIT_COLOR,
        linestyle="--",
        linewidth=1,
        label="gain of the reported choice",
    )
    axes.set_xscale("log")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_ylim(bottom=min(0.0, *low))
    axes.set_title(in_figure(report.pair))
    axes.set_xlabel("number of prompts")
    axes.set_ylabel("diversity gain")
