"""The soups: CRC scores at every share of the base model's weights."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.crc.report import soup_candidates


def soup_alphas(results: Results) -> Table:
    """Make a row for each pair and alpha."""
    rows = [
        (
            report.pair,
            candidate.choice,
            candidate.validity,
            candidate.diversity,
            "yes" if report.admits(candidate) else "no",
            "chosen" if candidate.choice == report.soup_alpha else "",
        )
        for report in results.crc_reports
        for candidate in soup_candidates(results.by_pair[report.pair])
    ]
    return Table(
        "CRC scores of the soups. A soup interpolates all weights; alpha is the base model's share. Means over the "
        "selection prompts. Among the soups that are valid enough, the most diverse is chosen.",
        ("pair", "alpha", "validity", "diversity", "valid enough", "choice"),
        tuple(rows),
    )
