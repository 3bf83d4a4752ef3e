"""The main numbers of a run, printed at its end: each pair's choice, and the verdicts that the page opens with."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.claims.catalogue import JudgedClaim, judged_claims
from slr.analysis.load_results import Results
from slr.crc.report import CrcReport
from slr.statistics.verdict import Outcome
from slr.terminal.tables import print_table
from slr.vocabulary import ModelKind

PAIRS_IN_A_TABLE = 3
"""Number of pairs whose verdicts stand side by side, because a terminal may have 80 columns only."""
WORDS: dict[Outcome, str] = {"yes": "yes", "no": "no", "cannot tell": "?"}


def print_main_numbers(results: Results) -> None:
    """Print the choice of each pair and the verdicts, in tables that fit 80 columns of a terminal."""
    # Above the tables and not in them, because there a title is wrapped where it is longer than the rows.
    if results.crc_reports:
        print("\nCRC diversity on held-out prompts, and the hybrid's validity / instruct's")
        print_table(
            ("pair", "layers", "instruct", "hybrid", "soup", "validity"),
            [_choice(report) for report in results.crc_reports],
            num_text_columns=2,
        )
    judged = judged_claims(results)
    pairs = list(dict.fromkeys(of_claim.pair for of_claim in judged))
    for start in range(0, len(pairs), PAIRS_IN_A_TABLE):
        _print_verdicts(judged, pairs[start : start + PAIRS_IN_A_TABLE])


def _choice(report: CrcReport) -> tuple[str, ...]:
    hybrid = report.summary("hybrid", "held_out")
    kept = None if hybrid is None else hybrid.validity_ratio
    return (
        report.pair,
        "none" if report.chosen is None else f"{report.chosen} of {report.num_layers}",
        *(_diversity(report, model) for model in ("instruct", "hybrid", "soup")),
        "n/a" if kept is None else f"{kept.mean:.3f}",
    )


def _diversity(report: CrcReport, model: ModelKind) -> str:
    summary = report.summary(model, "held_out")
    return "n/a" if summary is None or summary.diversity is None else f"{summary.diversity.mean:.3f}"


def _print_verdicts(judged: Sequence[JudgedClaim], pairs: Sequence[str]) -> None:
    found = {
        (of.claim.sentence, of.pair): f"{WORDS[of.verdict.outcome]} {of.verdict.estimate.mean:.3f}"
        for of in judged
        if of.pair in pairs
    }
    sentences = dict.fromkeys(sentence for sentence, _ in found)
    print("\nClaims and the numbers that decide; ? where the 95% interval cannot tell")
    print_table(
        ("claim", *pairs),
        [(sentence, *(found.get((sentence, pair), "") for pair in pairs)) for sentence in sentences],
    )
    print(flush=True)
