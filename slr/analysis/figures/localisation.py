"""Where the collapse is: partial restoration, components, and sets of layers that need not touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slr.analysis.load_results import Results
from slr.analysis.tables.localisation import COMPONENTS, SETS
from slr.crc.localisation import PairScores
from slr.crc.selection import Candidate, Scores, make_candidates, pareto_front
from slr.figure_style import (
    INTERVAL_COLOR,
    LIMIT_COLOR,
    MODEL_COLORS,
    TEXT_WIDTH,
    add_legend,
    in_figure,
    labelled,
    model_marker,
)
from slr.statistics.uncertainty import Estimate, estimate_difference, estimate_mean, estimate_ratio

ALPHA_MAP = plt.get_cmap("cividis")
"""Colour map of alphas: from dark for a small share of the base model to light for whole layers."""
STAR: dict[str, Any] = {**model_marker("hybrid"), "linestyle": "none"}
"""Marker of a chosen hybrid."""
LEAST_SHOWN, MOST_SHOWN = 0.82, 1.02
"""Range of validity in the figure on partial restoration, as shares of the instruct model's."""
PANEL_HEIGHT = 2.2
"""Height of a panel in inches."""


def partial_restoration(results: Results) -> Figure:
    """Draw the Pareto front of all intervals at each alpha, and both kinds of soups: a panel for each pair."""
    # The curves lie close together, so each panel has its own scale, and shows only what is nearly valid enough.
    figure, axes = _panels(results, 1, height=2.8, share="none")
    for panel, (pair, scores) in zip(axes[0], results.localisations.items(), strict=True):
        _draw_fronts(panel, scores)
        panel.set_title(in_figure(pair))
        panel.set_xlabel("CRC validity")
    axes[0, 0].set_ylabel("CRC diversity")
    add_legend(figure, labelled(axes.flat), max_columns=4, title="means over the selection prompts")
    return figure


def _draw_fronts(axes: Axes, scores: PairScores) -> None:
    instruct, partial = scores.instruct("selection"), scores.partial()
    for alpha in sorted({choice.alpha for choice in partial}):
        of_alpha = [(choice, score) for choice, score in partial.items() if choice.alpha == alpha]
        front = pareto_front(make_candidates(of_alpha, instruct))
        color = ALPHA_MAP(0.9 * alpha)
        axes.plot(*_points(front), color=color, linewidth=1.2, label=f"intervals, alpha {alpha:g}", zorder=2)
    for soups, style, name in (
        (scores.soups("selection"), "-", "soups"),
        (scores.decoder_soups(), "--", "soups of decoder layers"),
    ):
        points = _points(make_candidates(soups.items(), instruct))
        axes.plot(*points, style, color=MODEL_COLORS["soup"], linewidth=1.2, label=name, zorder=3)
    assert scores.selection is not None
    limit = scores.selection.min_validity_ratio * scores.selection.instruct_validity
    axes.axvline(limit, color=LIMIT_COLOR, linestyle=":", linewidth=1, label="least validity allowed")
    restored = scores.restored("selection")
    for name, label, fill in (
        ("partial", "chosen, any alpha", "none"),
        ("hybrid", "chosen, whole layers", None),
    ):
        if name in scores.choices:
            # The hollow star is larger, so that it shows around a filled one in the same place.
            hollow: dict[str, Any] = {"markerfacecolor": fill, "markersize": 13} if fill else {}
            axes.plot(
                *_mean_point(restored[scores.choices[name]]), **{**STAR, **hollow}, label=label, zorder=5
            )
    if scores.selection.soup_alpha is not None:
        soup = scores.soups("selection")[scores.selection.soup_alpha]
        _mark(axes, soup, "soup", "chosen soup")
    if instruct is not None:
        _mark(axes, instruct, "instruct", "instruct")
    _look_at(axes, scores)


def _look_at(axes: Axes, scores: PairScores) -> None:
    """Show validities from ``LEAST_SHOWN`` of the instruct model's on, and all diversities there."""
    assert scores.selection is not None
    own = scores.selection.instruct_validity
    models = [*scores.partial().values(), *scores.soups("selection").values()]
    points = [
        point for point in map(_mean_point, models) if LEAST_SHOWN * own <= point[0] <= MOST_SHOWN * own
    ]
    heights = [diversity for _, diversity in points]
    margin = 0.03 * (max(heights) - min(heights))
    axes.set_xlim(LEAST_SHOWN * own, MOST_SHOWN * own)
    axes.set_ylim(min(heights) - margin, max(heights) + margin)


def components(results: Results) -> Figure:
    """Draw held-out diversity and validity of the best interval with each choice of components."""
    figure, axes = _panels(results, 2, height=1.6)
    for column, (pair, scores) in zip(axes.T, results.localisations.items(), strict=True):
        names = [name for name in COMPONENTS if name in scores.held_out]
        instruct = scores.held_out["instruct"]
        _draw_estimates(
            column[0], scores, names, lambda s, i=instruct: estimate_difference(s.diversity, i.diversity)
        )
        _draw_estimates(
            column[1], scores, names, lambda s, i=instruct: estimate_ratio(s.validity, i.validity)
        )
        column[0].axvline(0, color=LIMIT_COLOR, linewidth=0.8)
        assert scores.selection is not None
        limit = scores.selection.min_validity_ratio
        column[1].axvline(limit, color=LIMIT_COLOR, linestyle=":", linewidth=1)
        column[0].set_title(in_figure(pair))
        column[0].set_xlabel("diversity less instruct's")
        column[1].set_xlabel("validity / instruct's")
    for panel in axes[:, 0]:
        shown = [
            name for name in COMPONENTS if any(name in s.held_out for s in results.localisations.values())
        ]
        panel.set_yticks(range(len(shown)), [COMPONENTS[name] for name in shown])
        panel.set_ylim(len(shown) - 0.5, -0.5)
    return figure


def _draw_estimates(
    axes: Axes, scores: PairScores, names: Sequence[str], estimate: Callable[[Scores], Estimate | None]
) -> None:
    for place, name in enumerate(names):
        found = estimate(scores.held_out[name])
        if found is None:
            continue
        color = MODEL_COLORS["hybrid"] if name == "hybrid" else INTERVAL_COLOR
        axes.plot([found.mean], [place], marker="o", color=color, markersize=4, zorder=3)
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [place, place], color=color, linewidth=1.2)


def contiguity(results: Results) -> Figure:
    """Draw sets of layers on the held-out prompts (top), and gains of intervals against sums of gains (bottom)."""
    figure, axes = _panels(results, 2)
    for column, (pair, scores) in zip(axes.T, results.localisations.items(), strict=True):
        _draw_sets(column[0], scores)
        _draw_additivity(column[1], scores)
        column[0].set_title(in_figure(pair))
        column[0].set_xlabel("CRC validity, held-out")
        column[1].set_xlabel("sum of the layers' gains")
    axes[0, 0].set_ylabel("CRC diversity, held-out")
    axes[1, 0].set_ylabel("gain of the interval")
    add_legend(figure, labelled(axes.flat), max_columns=4)
    return figure


def _draw_sets(axes: Axes, scores: PairScores) -> None:
    points = np.array([_mean_point(score) for score in scores.random_sets("held_out")]).reshape(-1, 2)
    axes.scatter(*points.T, s=8, color=INTERVAL_COLOR, linewidths=0, label="random set", zorder=2)
    held_out = scores.held_out
    markers = {"random": "P", "greedy": "^", "single": "v"}
    for name, marker in markers.items():
        if name in held_out:
            axes.plot(
                *_mean_point(held_out[name]),
                marker=marker,
                color="#56B4E9",
                markeredgecolor="black",
                markeredgewidth=0.6,
                linestyle="none",
                markersize=6,
                label=SETS[name],
                zorder=4,
            )
    if "hybrid" in held_out:
        axes.plot(*_mean_point(held_out["hybrid"]), **STAR, label="interval", zorder=5)
    _mark(axes, held_out["instruct"], "instruct", "instruct")


def _draw_additivity(axes: Axes, scores: PairScores) -> None:
    found = scores.additivity
    if found is None:
        return
    ends = [min(*found.sums, *found.gains), max(*found.sums, *found.gains)]
    axes.plot(ends, ends, color=LIMIT_COLOR, linewidth=0.8, label="gain equals sum")
    axes.scatter(
        found.sums, found.gains, s=8, color=MODEL_COLORS["hybrid"], linewidths=0, label="layer interval"
    )
    text = f"slope {found.slope.mean:.2f}\nr {found.correlation.mean:.2f}"
    axes.text(0.05, 0.95, text, transform=axes.transAxes, va="top", fontsize=7)


def _panels(
    results: Results, rows: int, height: float = PANEL_HEIGHT, share: Literal["row", "none"] = "row"
) -> tuple[Figure, Any]:
    return plt.subplots(
        rows,
        len(results.localisations),
        figsize=(TEXT_WIDTH, height * rows + 0.7),
        squeeze=False,
        sharex=share,
        sharey=share,
        layout="constrained",
    )


def _points(candidates: Sequence[Candidate[Any]]) -> tuple[list[float], list[float]]:
    defined = [(c.validity, c.diversity) for c in candidates if c.diversity is not None]
    return [validity for validity, _ in defined], [diversity for _, diversity in defined]


def _mean_point(score: Scores) -> tuple[float, float]:
    validity, diversity = estimate_mean(score.validity), estimate_mean(score.diversity)
    return (np.nan if validity is None else validity.mean), (np.nan if diversity is None else diversity.mean)


def _mark(axes: Axes, score: Scores, model: str, label: str) -> None:
    axes.plot(*_mean_point(score), **model_marker(model), linestyle="none", label=label, zorder=4)
