"""Curves over the number of samples: coverage of right answers, and pass@k."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slr.analysis.figures.panels import STYLES, DrawnAs, by_model, panels, with_legend
from slr.analysis.load_results import Results
from slr.downstream.groups import ALL_PROBLEMS, FAILED
from slr.downstream.prompt_metrics import coverage_curve_of, num_right_of, pass_curve_of
from slr.figure_style import LIMIT_COLOR, MODEL_MARKERS
from slr.metrics.coverage import ideal_coverage_at_k
from slr.runs.records import Samples
from slr.statistics.uncertainty import estimate_mean

CurveOf = Callable[[Samples], tuple[float, ...]]
"""Makes a prompt's curve from its samples: a value for each number of samples, from 1."""
BANDS = "bands: 95% intervals over prompts"
"""Title of the legend."""
LEAST_HEIGHT = 0.01
"""Smallest height of a panel, because a scale around curves that are all 0 would mean nothing."""


def qa_coverage(results: Results) -> Figure:
    """Draw the share of all right answers found, by the number of samples.

    The scale is for the models. The ideal line may leave the panel, because it would press them to the ground.
    """

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [s for s in results.samples_of("open_qa") if (s.pair, s.group) == (pair, group)]
        _draw_curves(axes, samples, coverage_curve_of)
        # Every model answers the same questions, so one model's records stand for all.
        instruct = [s for s in samples if s.model == "instruct"]
        if not instruct:
            return
        ideal = [
            np.mean([ideal_coverage_at_k(num_right_of(s), k) for s in instruct])
            for k in range(1, len(instruct[0].texts) + 1)
        ]
        line = Line2D(range(1, len(ideal) + 1), ideal, color=LIMIT_COLOR, linestyle=":", linewidth=1)
        line.set_label("ideal: uniform and right")
        # A line that is plotted would stretch the scale.
        axes.add_artist(line)

    figure, _ = panels(results, "open_qa", draw, "samples", "coverage of right answers")
    return with_legend(figure, f"{BANDS}; the ideal may leave the panel")


def pass_at_k(results: Results) -> Figure:
    """Draw the share of problems that at least one of k samples solves: all, and the ones that instruct fails."""

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [s for s in results.samples_of("reasoning") if s.pair == pair]
        _draw_curves(axes, [s for s in samples if group == ALL_PROBLEMS or s.group == group], pass_curve_of)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")

    has_failed = any(s.group == FAILED for s in results.samples_of("reasoning"))
    groups = (ALL_PROBLEMS, FAILED) if has_failed else (ALL_PROBLEMS,)
    figure, _ = panels(results, "reasoning", draw, "samples", "pass@k", groups=groups)
    return with_legend(figure, BANDS)


def _draw_curves(axes: Axes, samples: Sequence[Samples], curve_of: CurveOf) -> None:
    models = by_model(samples)
    for place, (model, records) in enumerate(models.items()):
        _draw_curve(axes, model, _curves_by_prompt(records, curve_of), place, len(models))
    if models:
        axes.update_datalim([(1, 0), (1, LEAST_HEIGHT)])
        axes.autoscale_view()


def _curves_by_prompt(records: Sequence[Samples], curve_of: CurveOf) -> list[list[float]]:
    """Each prompt's mean curve, because prompts are the items, and the seeds of one prompt are not."""
    by_prompt: dict[str, list[tuple[float, ...]]] = {}
    for record in records:
        by_prompt.setdefault(record.prompt_id, []).append(curve_of(record))
    return [np.mean(curves, axis=0).tolist() for curves in by_prompt.values()]


def _draw_curve(
    axes: Axes, model: DrawnAs, curves: Sequence[Sequence[float]], place: int, num_models: int
) -> None:
    """Draw the mean curve with its band, and markers where no other model's curve has any.

    Where curves lie on each other, the markers of all of them still show.
    """
    color, name = STYLES[model]
    estimates = [estimate for values in zip(*curves, strict=True) if (estimate := estimate_mean(values))]
    numbers = range(1, len(estimates) + 1)
    lows, highs = (
        [np.nan if end is None else end for end in ends]
        for ends in ([e.low for e in estimates], [e.high for e in estimates])
    )
    axes.fill_between(numbers, lows, highs, color=color, alpha=0.15, linewidth=0)
    axes.plot(
        numbers,
        [estimate.mean for estimate in estimates],
        color=color,
        linewidth=1.2,
        marker=MODEL_MARKERS.get(model, "P"),
        markersize=4.5 if model == "hybrid" else 3,
        markevery=(place, num_models),
        label=name,
    )
