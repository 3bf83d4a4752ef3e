"""Claims on CRC, on prompts that the choice did not see."""

from __future__ import annotations

from slr.analysis.claims.claim import Claim
from slr.analysis.load_results import Results
from slr.crc.report import CrcReport
from slr.statistics.contrasts import Contrast
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Verdict, judged_above
from slr.vocabulary import ModelKind

SMALLEST_COLLAPSE = 0.15
"""Loss of CRC diversity from which on a model counts as collapsed; with less there is nothing to recover."""


def _report(results: Results, pair: str) -> CrcReport | None:
    return next((report for report in results.crc_reports if report.pair == pair), None)


def _contrast(
    results: Results, pair: str, model: ModelKind, reference: ModelKind, metric: str
) -> Contrast | None:
    return next(
        (
            contrast
            for contrast in results.contrasts("crc_search")
            if (contrast.pair, contrast.model, contrast.reference_model, contrast.metric)
            == (pair, model, reference, metric)
        ),
        None,
    )


def collapse(results: Results, pair: str) -> Verdict | None:
    """Judge whether the instruct model has lost ``SMALLEST_COLLAPSE`` of diversity."""
    contrast = _contrast(results, pair, "base", "instruct", "diversity")
    if contrast is None or contrast.difference is None:
        return None
    return judged_above(SMALLEST_COLLAPSE, contrast.difference)


def recovery(results: Results, pair: str) -> Verdict | None:
    """Judge whether the hybrid is more diverse than the instruct model; a pair without collapse cannot tell."""
    contrast, collapsed = _contrast(results, pair, "hybrid", "instruct", "diversity"), collapse(results, pair)
    if contrast is None or contrast.difference is None or collapsed is None:
        return None
    if collapsed.outcome != "yes":
        return Verdict(outcome="cannot tell", estimate=contrast.difference)
    return judged_above(0.0, contrast.difference)


def kept_rule(results: Results, pair: str) -> Verdict | None:
    """Judge whether the hybrid keeps the rule's share of the instruct model's validity."""
    report = _report(results, pair)
    summary = None if report is None else report.summary("hybrid", "held_out")
    if report is None or summary is None or summary.validity_ratio is None:
        return None
    ratio: Estimate = summary.validity_ratio
    return judged_above(report.rule.min_validity_ratio, ratio)


CRC_CLAIMS = (
    Claim(
        id="collapse",
        sentence="Post-training collapsed the diversity.",
        criterion=f"CRC diversity, base less instruct, is above {SMALLEST_COLLAPSE}",
        exhibit="crc_tradeoff",
        verdict=collapse,
    ),
    Claim(
        id="recovery",
        sentence="The hybrid regains diversity.",
        criterion="CRC diversity, hybrid less instruct, is above 0, in a pair that has collapsed",
        exhibit="crc_tradeoff",
        verdict=recovery,
    ),
    Claim(
        id="kept_rule",
        sentence="The hybrid keeps the rule that it was chosen by.",
        criterion="CRC validity, hybrid divided by instruct, is above the rule's share",
        exhibit="crc_tradeoff",
        verdict=kept_rule,
    ),
)
"""The claims, in the order of the table."""
