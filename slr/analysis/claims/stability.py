"""Claims on stability: other prompts would choose nearly the same layers, or at least ones that gain as much."""

from __future__ import annotations

from functools import cache

import numpy as np

from slr.analysis.claims.claim import Claim
from slr.analysis.load_results import Results
from slr.seeding import seed_from_key
from slr.stability.report import StabilityReport
from slr.stability.resampling import Floats, Ints, choose, sample_prompts
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Verdict, judged_above

LEAST_OVERLAP = 0.5
"""Mean overlap of layers above which a choice counts as stable."""
LEAST_SHARE_OF_GAIN = 0.8
"""Share of the reported gain above which a result counts as stable."""
WORST_CHOICES = 0.05
"""Quantile of the choices that a result is judged by."""
NUM_OUTER_DRAWS = 400
NUM_INNER_DRAWS = 200
"""Numbers of draws, and of draws from each of these, which give the interval of the mean overlap."""
NUM_HELD_OUT_DRAWS = 2000
ENDS = (0.025, 0.975)


def _report(results: Results, pair: str) -> StabilityReport | None:
    return next((report for report in results.stability_reports if report.pair == pair), None)


def stable_choice(results: Results, pair: str) -> Verdict | None:
    """Judge whether bootstrap draws of the selection prompts choose nearly the reported layers.

    The 95% interval of the mean overlap is from a bootstrap of the bootstrap. Each of 400 draws takes the place of the
    prompts, and the mean overlap is computed anew from 200 draws of it.
    """
    report = _report(results, pair)
    if report is None:
        return None
    value = report.summary(report.bootstrap).overlap
    low, high = map(float, np.quantile(_overlaps_of_draws(report), ENDS))
    return judged_above(LEAST_OVERLAP, Estimate(value, low, high, len(report.strata)))


@cache  # the table and the page both judge the claim, and this takes seconds
def _overlaps_of_draws(report: StabilityReport) -> Floats:
    """Compute the mean overlap with the reported choice as if each of the first bootstrap draws were the prompts."""
    rng = np.random.default_rng(seed_from_key("stable_choice", report.pair))
    means = []
    for draw_P in report.bootstrap.counts_DP[:NUM_OUTER_DRAWS]:
        counts_DP = sample_prompts(report.strata, len(draw_P), NUM_INNER_DRAWS, rng, within=draw_P)
        chosen_D = choose(report.selection, counts_DP, report.rule)
        means.append(report.overlaps[chosen_D].mean())
    return np.array(means)


def stable_result(results: Results, pair: str) -> Verdict | None:
    """Judge whether what bootstrap draws of the selection prompts choose gains about as much, whichever layers it is.

    The 95% interval is from a bootstrap of the held-out prompts. There is none if the reported gain is not above 0 in
    every draw, because there may be no gain to keep then. Without a reported gain there is nothing to judge.
    """
    report = _report(results, pair)
    if report is None:
        return None
    num_prompts = report.held_out.gains.shape[1]
    rng = np.random.default_rng(seed_from_key("stable_result", pair))
    counts_RP = rng.multinomial(num_prompts, np.full(num_prompts, 1 / num_prompts), NUM_HELD_OUT_DRAWS)
    shares_R = _shares_of_gain(report, counts_RP)
    [value] = _shares_of_gain(report, np.ones((1, num_prompts), dtype=np.int64))
    if np.isnan(value):
        return None
    low, high = map(float, np.quantile(shares_R, ENDS)) if np.isfinite(shares_R).all() else (None, None)
    return judged_above(LEAST_SHARE_OF_GAIN, Estimate(float(value), low, high, num_prompts))


def _shares_of_gain(report: StabilityReport, counts_RP: Ints) -> Floats:
    """Compute the worst choices' share of the reported gain for each draw of held-out prompts.

    Args:
        report: the pair's report.
        counts_RP: how often each held-out prompt counts, in each of R draws.

    Returns:
        The shares, shape (R,); NaN where the reported gain is not above 0.
    """
    gains_IP = report.held_out.gains
    is_defined_IP = ~np.isnan(gains_IP)
    sums_RI = counts_RP @ np.where(is_defined_IP, gains_IP, 0.0).T
    gains_RI = sums_RI / (counts_RP @ is_defined_IP.T.astype(np.float64))
    # A choice of no interval, which has the last index, gains nothing.
    gains_RI = np.column_stack([gains_RI, np.zeros(len(counts_RP))])
    worst_R = np.quantile(gains_RI[:, report.bootstrap.chosen_D], WORST_CHOICES, axis=1)
    reported_R = gains_RI[:, report.reported]
    return np.divide(worst_R, reported_R, out=np.full(len(counts_RP), np.nan), where=reported_R > 0)


STABILITY_CLAIMS = (
    Claim(
        id="stable_choice",
        sentence="Other prompts would choose nearly the same layers.",
        criterion=f"Mean overlap of layers (Jaccard index) of bootstrap choices with the chosen ones is above "
        f"{LEAST_OVERLAP}",
        exhibit="choice_stability",
        verdict=stable_choice,
    ),
    Claim(
        id="stable_result",
        sentence="Whatever other prompts choose, the gain is about the same.",
        criterion=f"Share of the chosen hybrid's gain in CRC diversity that bootstrap choices reach at their "
        f"{WORST_CHOICES:.0%} quantile is above {LEAST_SHARE_OF_GAIN}",
        exhibit="choice_stability",
        verdict=stable_result,
    ),
)
"""The claims, in the order of the table."""
