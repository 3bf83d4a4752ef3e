"""The hyperparameters: every setting that a result depends on."""

from __future__ import annotations

import json
from typing import Any

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.runs.records import Configuration


def settings(results: Results) -> Table:
    """A row for each setting of each experiment; what the search chose, for each pair."""
    rows: dict[tuple[str, str, str], str] = {}
    for record in results.records:
        if isinstance(record, Configuration):
            for name, value in record.settings.items():
                rows[record.experiment, "all", name] = _shown(value)
            rows[record.experiment, record.pair, "dtype"] = record.dtype
            for name, value in record.inputs.items():
                rows[record.experiment, record.pair, name] = _shown(value)
    return Table(
        "settings",
        "The settings of every experiment, as they were recorded. Intervals are [start, end), counted from 0.",
        ("experiment", "pairs", "setting", "value"),
        tuple((*key, value) for key, value in sorted(rows.items())),
    )


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
        return ", ".join(item["name"] for item in value)
    return value if isinstance(value, str) else json.dumps(value)
