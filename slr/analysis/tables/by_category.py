"""The scores of the selected intervals, separately for letters and digits."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.selected_intervals import MODELS, SCORE_COLUMNS, score_cells
from slr.analysis.tables.table import Table
from slr.crc.report import CATEGORIES, PROMPT_SETS
from slr.figure_style import MODEL_NAMES


def by_category(results: Results) -> Table:
    """Make the rows of the table of selected intervals, once for each category of prompts."""
    rows = [
        (
            report.pair,
            category,
            MODEL_NAMES[model],
            prompt_set.replace("_", "-"),
            *score_cells(report, model, prompt_set, category),
        )
        for report in results.crc_reports
        for category in CATEGORIES
        for prompt_set in PROMPT_SETS
        for model in MODELS
    ]
    return Table(
        "CRC validity and diversity by category of prompt, for the models in the table of selected intervals. "
        "Means over prompts with 95% intervals. Differences are paired by prompt.",
        ("pair", "category", "model", "prompts", *SCORE_COLUMNS),
        tuple(rows),
    )
