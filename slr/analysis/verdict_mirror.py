"""The verdicts as W&B shows them: a row for each claim, and metrics by which pairs can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slr.analysis.page.section import SECTION_NAME, ShownVerdict, read_section
from slr.runs.experiment import RunMirror

TABLE = "claims"
"""Name of the table with all claims."""
COLUMNS = ["claim", "pair", "verdict", "number", "low", "high", "n", "criterion", "figure"]
"""Headings of the table; ``low`` and ``high`` are the ends of the 95% interval."""


def verdict_mirrors(figures_dir: Path) -> dict[str, RunMirror]:
    """Read what the page says of each pair's claims, as one mirror for each pair.

    Args:
        figures_dir: directory of the figures of a run, with the section of its page.

    Returns:
        The mirrors by pair; empty if there is no section.

    Raises:
        ValueError: if the section cannot be read.
    """
    if not (figures_dir / SECTION_NAME).is_file():
        return {}
    by_pair: dict[str, list[ShownVerdict]] = {}
    for verdict in read_section(figures_dir).verdicts:
        by_pair.setdefault(verdict.pair, []).append(verdict)
    return {pair: verdict_mirror(verdicts) for pair, verdicts in by_pair.items()}


def verdict_mirror(verdicts: Iterable[ShownVerdict]) -> RunMirror:
    """Make the metrics ``CLAIM/verdict``, ``CLAIM/number``, ``CLAIM/low`` and ``CLAIM/high``, and the table."""
    summary: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for of in verdicts:
        numbers = {"number": of.mean, "low": of.low, "high": of.high}
        summary |= {f"{of.claim}/{name}": value for name, value in {"verdict": of.outcome, **numbers}.items()}
        rows.append(
            [of.sentence, of.pair, of.outcome, *numbers.values(), of.num_items, of.criterion, of.exhibit]
        )
    return RunMirror(summary=summary, tables={TABLE: (COLUMNS, rows)})
