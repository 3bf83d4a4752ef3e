"""One style for all figures: a colour always has one meaning, in print and for colour-blind readers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from slr.files.whole import whole_file
from slr.terminal.literal_text import visible

# Okabe and Ito's palette: its colours stay apart under the common kinds of colour blindness.
MODEL_COLORS = {
    "base": "#0072B2",
    "instruct": "#D55E00",
    "hybrid": "#009E73",
    "soup": "#CC79A7",
}
MODEL_MARKERS = {"base": "s", "instruct": "D", "hybrid": "*", "soup": "o"}
MODEL_NAMES = {"base": "base", "instruct": "instruct", "hybrid": "SLR hybrid", "soup": "soup"}
INTERVAL_COLOR = "#9A9A9A"
INTERVAL_MAP = LinearSegmentedColormap.from_list("intervals", ["#D8D8D8", "#101010"])
"""Colour map of the share of restored layers, darker for more layers. It is grey, because no model is."""
METHOD_NAMES = {"base_few_shot": "base, few-shot"}
"""Name for people of each method whose id is not its name."""
LIMIT_COLOR = "#444444"
VALIDITY_MAP = "cividis"
DIVERSITY_MAP = "viridis"

PANEL_WIDTH = 3.3
"""Width of a panel in inches: about one column of a paper."""
TEXT_WIDTH = 6.75
"""Width of a figure in inches: both columns of a paper, so that no font shrinks in print."""

TEXT_CHARACTERS = 60
"""Number of characters of a name that a figure shows. A longer name would leave no room for anything else."""

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    # Without a fixed salt, ids in an SVG would differ from run to run.
    "svg.hashsalt": "slr",
    # A dollar sign in a name or a question is a dollar sign, and begins no formula.
    "text.parse_math": False,
}


def method_name(method: str) -> str:
    """The name for people of a method, by its id."""
    return METHOD_NAMES.get(method, method)


def model_marker(model: str) -> dict[str, Any]:
    """How a model's marker is drawn: the hybrid's is large, and a soup's is a ring around whatever has its scores."""
    color = MODEL_COLORS[model]
    look: dict[str, Any] = {"markersize": 5, "markeredgecolor": "black", "markeredgewidth": 0.6}
    if model == "hybrid":
        look["markersize"] = 9
    if model == "soup":
        look = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": color, "markeredgewidth": 1.3}
    return {"marker": MODEL_MARKERS[model], "color": color, **look}


def use_style() -> None:
    """Set matplotlib's style, and a backend that needs no display."""
    matplotlib.use("Agg")
    matplotlib.rcParams.update(_SETTINGS)


def in_figure(text: str, max_characters: int = TEXT_CHARACTERS) -> str:
    """Shorten a name or a text from outside to one line that fits a figure."""
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= max_characters else shown[: max_characters - 3] + "..."


def add_legend(
    figure: Figure, entries: Sequence[tuple[str, Artist]], max_columns: int, title: str | None = None
) -> None:
    """Put one legend below all panels, with each label once.

    Args:
        figure: the figure.
        entries: labels with what stands for them; of equal labels the last counts.
        max_columns: number of entries in a row, at most.
        title: above the entries, if there is one.
    """
    handles = dict(entries)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=min(max_columns, max(1, len(handles))),
        frameon=False,
        title=title,
        title_fontsize=7,
    )


def labelled(panels: Iterable[Axes]) -> list[tuple[str, Artist]]:
    """Every label in the panels with what it labels."""
    return [
        (label, handle)
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    ]


KINDS = ("pdf", "png")
"""Kinds of files of a figure."""


def save_figure(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write NAME.pdf and NAME.png, with the same bytes for the same figure, and close the figure.

    A character that the font lacks is drawn as a box, without a warning for each one.

    Args:
        figure: the figure, which is closed.
        directory: where the files are written.
        name: name of the files, without a suffix.

    Returns:
        The PDF file and the PNG file.
    """
    import matplotlib.pyplot as plt

    options: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None, "Producer": None, "Creator": None}},
        "png": {"metadata": {"Software": None}, "dpi": 200},
    }
    paths = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        for kind in KINDS:
            drawn = (
                BytesIO()
            )  # because matplotlib, given a full disk, fails with an error that does not say so
            figure.savefig(drawn, format=kind, bbox_inches="tight", **options[kind])
            paths.append(directory / f"{name}.{kind}")
            with whole_file(paths[-1]) as unfinished:
                unfinished.write_bytes(drawn.getvalue())
    plt.close(figure)
    return paths
