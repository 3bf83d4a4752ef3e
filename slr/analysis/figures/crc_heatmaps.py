"""CRC validity and diversity of every layer interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from slr.analysis.load_results import Results
from slr.crc import plots


def crc_heatmaps(results: Results) -> Figure:
    """Draw a row for each pair, with validity on the left and diversity on the right."""
    return plots.heatmaps(results.crc_reports, results.records)
