"""The reason for the choice of each interval and each soup, or why none was chosen."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.selected_intervals import RULE_COLUMNS, rule_cells
from slr.analysis.tables.table import Cell, Table
from slr.crc.report import CrcReport
from slr.vocabulary import ModelKind


def selection_reasons(results: Results) -> Table:
    """Make two rows for each pair: one for the interval, and one for the soup."""
    return Table(
        "The choices in words, and whether they keep the rule on the held-out prompts. Intervals are half-open and "
        "counted from 0.",
        ("pair", "choice of", "chosen", "reason", *(f"{column}, held-out" for column in RULE_COLUMNS)),
        tuple(row for report in results.crc_reports for row in _rows(report)),
    )


def _rows(report: CrcReport) -> list[tuple[Cell, ...]]:
    alpha = report.soup_alpha
    choices: tuple[tuple[str, ModelKind, str, str], ...] = (
        ("interval", "hybrid", str(report.interval or "none"), report.interval_reason),
        ("soup", "soup", "none" if alpha is None else f"{alpha:g}", report.soup_reason),
    )
    return [
        (report.pair, choice_of, chosen, reason, *rule_cells(report, model, "held_out"))
        for choice_of, model, chosen, reason in choices
    ]
