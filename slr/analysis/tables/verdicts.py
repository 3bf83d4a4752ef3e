"""The verdicts: every claim and every pair, with the number that decides."""

from __future__ import annotations

from slr.analysis.claims.catalogue import judged_claims
from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table


def verdicts(results: Results) -> Table:
    """Make a row for each claim and pair that it was measured on."""
    rows = [
        (
            judged.claim.sentence,
            judged.pair,
            judged.verdict.outcome,
            judged.verdict.estimate,
            judged.verdict.estimate.n,
            judged.claim.criterion,
            judged.claim.exhibit,
        )
        for judged in judged_claims(results)
    ]
    return Table(
        "What the records say of each claim. A claim holds (yes) "
        "if the whole 95% interval meets its criterion, it does not hold (no) if none of the interval does, and "
        "otherwise the records cannot tell.",
        ("claim", "pair", "verdict", "number", "n", "the number and what it must be", "shown in"),
        tuple(rows),
        count_column="n",
    )
