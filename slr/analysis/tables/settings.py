"""The hyperparameters: every setting on which a result depends."""

from __future__ import annotations

import json
from typing import Any

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.runs.records import Configuration
from slr.runs.results import of_kind


def settings(results: Results) -> Table:
    """Make a row for each setting of each experiment, and for what the search chose for each pair."""
    rows: dict[tuple[str, str, str], str] = {}
    for record in of_kind(results.records, Configuration):
        for name, value in record.settings.items():
            # All pairs in a file of records have the same settings.
            rows[record.experiment, "all", name] = _shown(value)
        rows[record.experiment, record.pair, "dtype"] = record.dtype
        for name, value in record.inputs.items():
            rows[record.experiment, record.pair, name] = _shown(value)
    return Table(
        "The settings of every experiment, as they were recorded. Intervals are [start, end), counted from 0.",
        ("experiment", "pairs", "setting", "value"),
        tuple((*key, value) for key, value in sorted(rows.items())),
    )


def _shown(value: Any) -> str:
    """The text of a setting in a cell. Methods and tasks are shown by their ids only."""
    for id_ in ("id", "name"):
        if (
            value
            and isinstance(value, list)
            and all(isinstance(item, dict) and id_ in item for item in value)
        ):
            return ", ".join(item[id_] for item in value)
    return value if isinstance(value, str) else json.dumps(value)
