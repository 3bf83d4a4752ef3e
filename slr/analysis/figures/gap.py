"""What is shown in place of a measurement that is missing: a gap that says so, and how to fill it."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from slr.figure_style import LIMIT_COLOR, TEXT_WIDTH, in_figure

MAX_NOTE_CHARACTERS = 1000
"""Number of characters from which a note is cut."""
NOTE_CHARACTERS = 95
"""Number of characters in a line of a note across a figure of full width."""


def gap(name: str, command: str) -> Figure:
    """Draw a placeholder for a figure whose data have not been measured."""
    figure, axes = plt.subplots(figsize=(TEXT_WIDTH, 0.25 * TEXT_WIDTH))
    text = f"{name}: not measured yet\n\nrun: {command}"
    axes.text(0.5, 0.5, text, ha="center", va="center", color=LIMIT_COLOR)
    axes.axis("off")
    return figure


def add_note(figure: Figure, text: str) -> None:
    """Write a note above a figure, part of whose data have not been measured."""
    width = round(NOTE_CHARACTERS * figure.get_figwidth() / TEXT_WIDTH)
    figure.suptitle(textwrap.fill(in_figure(text, MAX_NOTE_CHARACTERS), width), fontsize=7, color=LIMIT_COLOR)
