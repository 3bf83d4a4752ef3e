"""A picture of what layer restoration does. It shows no data."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from slr.analysis.load_results import Results
from slr.figure_style import LIMIT_COLOR, MODEL_COLORS, PANEL_WIDTH

CONCEPT_LAYERS = 8
"""Number of decoder layers drawn in each stack."""
CONCEPT_RESTORED = range(3, 6)
"""Layers that the drawn hybrid restores."""


def concept(_results: Results) -> Figure:
    """Draw what layer restoration does, as three stacks of decoder layers."""
    figure, axes = plt.subplots(figsize=(2 * PANEL_WIDTH, 1.15 * PANEL_WIDTH), layout="constrained")
    stacks = (
        (0.0, "instruct", "instruct model", "follows requests, has lost diversity"),
        (3.1, "hybrid", "SLR hybrid", "follows requests, diverse again"),
        (6.2, "base", "base model", "diverse, does not follow requests"),
    )
    for x, model, title, subtitle in stacks:
        for layer in range(CONCEPT_LAYERS):
            restored = model == "hybrid" and layer in CONCEPT_RESTORED
            _draw_block(axes, x, layer, f"decoder layer {layer}", "base" if restored else _outside(model))
        _draw_block(axes, x, -1.25, "embeddings", _outside(model))
        _draw_block(axes, x, CONCEPT_LAYERS + 0.25, "final norm, LM head", _outside(model))
        axes.text(
            x + 1, CONCEPT_LAYERS + 2.2, title, ha="center", fontweight="bold", color=MODEL_COLORS[model]
        )
        axes.text(x + 1, CONCEPT_LAYERS + 1.55, subtitle, ha="center", fontsize=6.5, color=LIMIT_COLOR)
    for y in (-1.25, *range(CONCEPT_LAYERS), CONCEPT_LAYERS + 0.25):
        start, end = (6.12, 5.18) if y in CONCEPT_RESTORED else (2.08, 3.02)
        _draw_arrow(axes, start, end, y + 0.46)
    first, last = CONCEPT_RESTORED[0], CONCEPT_RESTORED[-1]
    axes.text(5.65, last + 1.2, f"layers {first}:{last + 1}\nrestored", ha="center", fontsize=6.5)
    axes.set_xlim(-0.4, 8.7)
    axes.set_ylim(-1.6, CONCEPT_LAYERS + 2.8)
    axes.axis("off")
    return figure


def _outside(model: str) -> str:
    """The model whose blocks surround the restored layers of a stack."""
    return "base" if model == "base" else "instruct"


def _draw_block(axes: Axes, x: float, y: float, text: str, model: str) -> None:
    box = FancyBboxPatch(
        (x, y + 0.1),
        2,
        0.72,
        boxstyle="round,pad=0,rounding_size=0.12",
        linewidth=0,
        facecolor=MODEL_COLORS[model],
    )
    axes.add_patch(box)
    axes.text(x + 1, y + 0.46, text, ha="center", va="center", color="white", fontsize=6.5)


def _draw_arrow(axes: Axes, start: float, end: float, y: float) -> None:
    arrow = {"arrowstyle": "-|>", "color": LIMIT_COLOR, "linewidth": 1}
    axes.annotate("", xy=(end, y), xytext=(start, y), arrowprops=arrow)
