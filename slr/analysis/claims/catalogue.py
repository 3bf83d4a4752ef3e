"""All claims, and their verdicts for the pairs of a run."""

from __future__ import annotations

from dataclasses import dataclass

from slr.analysis.claims.claim import Claim
from slr.analysis.claims.crc import CRC_CLAIMS
from slr.analysis.claims.diversity import DIVERSITY_CLAIMS
from slr.analysis.claims.localisation import LOCALISATION_CLAIMS
from slr.analysis.claims.prediction import PREDICTION_CLAIMS
from slr.analysis.claims.stability import STABILITY_CLAIMS
from slr.analysis.load_results import Results
from slr.statistics.verdict import Verdict

CLAIMS: tuple[Claim, ...] = (
    *CRC_CLAIMS,
    *DIVERSITY_CLAIMS,
    *LOCALISATION_CLAIMS,
    *STABILITY_CLAIMS,
    *PREDICTION_CLAIMS,
)
"""Every claim, in the order of the table."""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and its verdict for one pair."""

    claim: Claim
    pair: str
    verdict: Verdict


def judged_claims(results: Results) -> list[JudgedClaim]:
    """Judge every claim for every pair that it was measured on, claim by claim."""
    pairs = list(results.by_pair)
    return [
        JudgedClaim(claim, pair, verdict)
        for claim in CLAIMS
        for pair in pairs
        if (verdict := claim.verdict(results, pair)) is not None
    ]
