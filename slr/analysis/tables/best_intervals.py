"""The best admissible intervals of each pair."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table


def best_intervals(results: Results) -> Table:
    """Make a row for each interval, the chosen one first."""
    rows: list[tuple[Cell, ...]] = []
    for report in results.crc_reports:
        on_front = {candidate.choice for candidate in report.front}
        for rank, candidate in enumerate(report.best, start=1):
            is_on_front = "yes" if candidate.choice in on_front else "no"
            rows.append(
                (
                    report.pair,
                    rank,
                    str(candidate.choice),
                    candidate.validity,
                    candidate.diversity,
                    is_on_front,
                    len(report.front),
                )
            )
    return Table(
        "The best admissible intervals by diversity on the selection prompts, and the number of intervals on the "
        "Pareto front of validity and diversity.",
        ("pair", "rank", "layers", "validity", "diversity", "on the Pareto front", "size of the front"),
        tuple(rows),
    )
