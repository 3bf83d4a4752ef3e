"""The scores of the selected intervals for letters and digits apart."""

from __future__ import annotations

from analysis.load_results import Results
from analysis.tables.selected_intervals import COLUMNS, MODELS, score_row
from analysis.tables.table import Table
from slr.crc.report import CATEGORIES, PROMPT_SETS


def by_category(results: Results) -> Table:
    """As the table of selected intervals, once for each category of prompts."""
    rows = [
        (category, *score_row(report, model, prompt_set, category))
        for report in results.crc_reports
        for category in CATEGORIES
        for prompt_set in PROMPT_SETS
        for model in MODELS
    ]
    return Table(
        "by_category",
        "CRC validity and diversity by category of prompt; columns as in the table of selected intervals.",
        ("category", *COLUMNS),
        tuple(rows),
    )
