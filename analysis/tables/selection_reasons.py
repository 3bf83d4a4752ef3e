"""Why each interval and each soup was chosen, or why none was."""

from __future__ import annotations

from analysis.load_results import Results
from analysis.tables.table import Table


def selection_reasons(results: Results) -> Table:
    """Two rows a pair: of the interval, and of the soup."""
    rows = [
        row
        for report in results.crc_reports
        for row in (
            (report.pair, "interval", str(report.interval or "none"), report.interval_reason),
            (
                report.pair,
                "soup",
                f"{report.soup_alpha:g}" if report.soup_alpha is not None else "none",
                report.soup_reason,
            ),
        )
    ]
    return Table(
        "selection_reasons",
        "The choices in words. Intervals are half-open and counted from 0.",
        ("pair", "choice of", "chosen", "reason"),
        tuple(rows),
    )
