"""Two claims on the search's choice: other prompts would choose nearly the same layers, or at least as good ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slr.analysis.claims.verdict import Verdict, decide
from slr.runs.records import AnyRecord
from slr.seeding import seed_from_key
from slr.stability.report import StabilityReport, stability_report
from slr.stability.resampling import Floats, Ints, choose, sample_prompts

LEAST_OVERLAP = 0.5
"""Smallest mean overlap of layers for which the choice counts as stable."""
LEAST_SHARE_OF_GAIN = 0.8
"""Smallest share of the reported gain for which the result counts as stable."""
WORST_CHOICES = 0.05
"""Quantile of the choices that the result is judged by."""
NUM_OUTER_DRAWS = 400
NUM_INNER_DRAWS = 200
"""Numbers of draws, and of draws from each of these, for the interval of the mean overlap."""
NUM_HELD_OUT_DRAWS = 2000
ENDS = (0.025, 0.975)


def choice_is_stable(records: Sequence[AnyRecord], pair: str) -> Verdict:
    """Decide whether other prompts would choose nearly the same layers.

    Criterion: the mean overlap (Jaccard index of restored layers) of the choices by 2,000 bootstrap draws of the
    selection prompts with the reported choice is at least 0.5. Its 95% interval decides: yes if all of it is at least
    0.5, no if all of it is below. The interval is from a bootstrap of the bootstrap: 400 draws of prompts take the
    place of the prompts, and the mean overlap is computed again from 200 draws of each.

    Args:
        records: records of the search and of the stability study.
        pair: name of the pair.

    Raises:
        ValueError: if the records are not complete, or the search chose no interval.
    """
    report = stability_report(records, pair)
    overlaps_D = report.overlaps[report.bootstrap.chosen_D]
    low, high = map(float, np.quantile(_overlaps_of_draws(report), ENDS))
    value = float(overlaps_D.mean())
    same = report.summary(report.bootstrap).same
    sentence = (
        f"Other prompts choose the same layers {report.interval} in {same:.0%} of draws; the mean overlap is "
        f"{value:.2f} (at least {LEAST_OVERLAP:g} would be stable)"
    )
    outcome = decide(low, high, LEAST_OVERLAP)
    num_prompts = len(report.strata)
    return Verdict(value=value, low=low, high=high, n=num_prompts, outcome=outcome, sentence=sentence)


def _overlaps_of_draws(report: StabilityReport) -> Floats:
    """Compute the mean overlap with the reported choice as if each of the first bootstrap draws were the prompts."""
    rng = np.random.default_rng(seed_from_key("choice_is_stable", report.pair))
    means = []
    for draw_P in report.bootstrap.counts_DP[:NUM_OUTER_DRAWS]:
        counts_DP = sample_prompts(report.strata, len(draw_P), NUM_INNER_DRAWS, rng, within=draw_P)
        chosen_D = choose(report.selection, counts_DP, report.rule)
        means.append(report.overlaps[chosen_D].mean())
    return np.array(means)


def result_is_stable(records: Sequence[AnyRecord], pair: str) -> Verdict:
    """Decide whether other prompts would choose about as good layers, whichever these are.

    Criterion: of the choices by 2,000 bootstrap draws of the selection prompts, the 5% quantile of the held-out gain in
    diversity is at least 80% of the reported choice's gain. Its 95% interval, by the bootstrap over the held-out
    prompts, decides: yes if all of it is at least 80%, no if all of it is below. If the reported gain itself is not
    above 0 in every draw of held-out prompts, there is no interval, and the answer is "cannot tell".

    Args:
        records: records of the search and of the stability study.
        pair: name of the pair.

    Raises:
        ValueError: if the records are not complete, or the search chose no interval.
    """
    report = stability_report(records, pair)
    num_prompts = report.held_out.gains.shape[1]
    rng = np.random.default_rng(seed_from_key("result_is_stable", pair))
    counts_RP = rng.multinomial(num_prompts, np.full(num_prompts, 1 / num_prompts), NUM_HELD_OUT_DRAWS)
    values_R = _shares_of_gain(report, counts_RP)
    value = float(_shares_of_gain(report, np.ones((1, num_prompts), dtype=np.int64))[0])
    low, high = None, None
    if np.isfinite(values_R).all():
        low, high = map(float, np.quantile(values_R, ENDS))
    sentence = (
        f"At the {WORST_CHOICES:.0%} quantile other prompts' choices have {value:.0%} of the reported gain "
        f"{report.gains[report.reported]:.3f} (at least {LEAST_SHARE_OF_GAIN:.0%} would be stable)"
    )
    return Verdict(
        value=value,
        low=low,
        high=high,
        n=num_prompts,
        outcome=decide(low, high, LEAST_SHARE_OF_GAIN),
        sentence=sentence,
    )


def _shares_of_gain(report: StabilityReport, counts_RP: Ints) -> Floats:
    """Compute the criterion's share for each draw of held-out prompts; NaN where the reported gain is not above 0.

    Args:
        report: the pair's report, with I intervals.
        counts_RP: how often each held-out prompt counts, in each of R draws.
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
