"""Diversity against validity of intervals, soups, base and instruct."""

from __future__ import annotations

from matplotlib.figure import Figure

from slr.analysis.load_results import Results
from slr.crc import plots


def crc_tradeoff(results: Results) -> Figure:
    """Draw a panel for each pair."""
    return plots.tradeoff(results.crc_reports, results.records)
