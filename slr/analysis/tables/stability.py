"""How stable the search's choice is: over prompts, rules and min-p, and over seeds of the testbed's training."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from slr.analysis.load_results import Results
from slr.analysis.tables.selected_intervals import MODELS, rules_of
from slr.analysis.tables.table import Cell, Table
from slr.crc.report import CrcReport, ModelSummary, crc_report
from slr.figure_style import MODEL_NAMES
from slr.stability.report import StabilityReport, Variation, min_p_summaries
from slr.stability.resampling import overlap
from slr.testbed.seeds import other_seeds, shipped_seed


def stability(results: Results) -> Table:
    """Make a row for each pair and variation."""
    rows = [
        _row(report, variation)
        for report in results.stability_reports
        for variation in (*report.samples, *report.others)
    ]
    return Table(
        "The choice made again under other conditions, and how far it agrees with the reported one. Prompts are drawn "
        "with replacement, as many for letters as for digits. The overlap is the mean share of shared layers among the "
        "layers of either choice. What the choices would have given is on the held-out prompts: diversity less "
        "instruct's (higher is better) and validity over instruct's, where every token counts; 5%, median and 95% are "
        "quantiles of the choices. Rule kept: the share of choices whose held-out validity is at least the row's share "
        f"of instruct's. Unless the row says otherwise, the rule is: {rules_of(results)}.",
        (
            "pair",
            "made by",
            "prompts",
            "choices",
            "layers",
            "same layers",
            "overlap",
            "none valid enough",
            "gain 5%",
            "gain median",
            "gain 95%",
            "validity kept 5%",
            "validity kept median",
            "rule kept",
        ),
        tuple(rows),
    )


def _row(report: StabilityReport, variation: Variation) -> tuple[Cell, ...]:
    summary = report.summary(variation)
    gain_low, gain, gain_high = summary.gain
    validity_low, validity, _ = summary.validity_ratio
    is_one = summary.num_choices == 1
    layers = "" if not is_one else "none" if summary.interval is None else str(summary.interval)
    return (
        report.pair,
        summary.label,
        summary.num_prompts,
        summary.num_choices,
        layers,
        summary.same,
        summary.overlap,
        summary.none,
        # One choice has no quantiles other than its own value.
        None if is_one else gain_low,
        gain,
        None if is_one else gain_high,
        None if is_one else validity_low,
        validity,
        summary.kept,
    )


def crc_min_p(results: Results) -> Table:
    """Make a row for each pair and model, with and without min-p."""
    rows = []
    for report in results.crc_reports:
        of_report = [s for s in report.models if s.prompt_set == "held_out"]
        with_min_p = min_p_summaries(results.by_pair[report.pair], report.pair)
        with_min_p.sort(key=lambda scored: (scored[0], MODELS.index(scored[1].model)))
        rows += [_min_p_row(report.pair, 0.0, summary) for summary in of_report]
        rows += [_min_p_row(report.pair, min_p, summary) for min_p, summary in with_min_p]
    return Table(
        "CRC scores with and without min-p in the scoring. With min-p a token does not count if its probability is "
        "below that share of the largest one, and the others are scaled to sum 1; 0 counts every token. Hybrid and "
        "soup are chosen anew by the scores with min-p. Means over held-out prompts with 95% intervals, of diversity "
        "over the prompts where all models have one; differences and ratios are paired with instruct at that min-p.",
        (
            "pair",
            "min-p",
            "model",
            "choice",
            "validity",
            "diversity",
            "diversity less instruct's",
            "validity / instruct's",
        ),
        tuple(rows),
    )


def _min_p_row(pair: str, min_p: float, summary: ModelSummary) -> tuple[Cell, ...]:
    choice = f"layers {summary.interval}" if summary.interval is not None else ""
    if summary.model == "soup":
        choice = f"alpha {summary.alpha:g}"
    return (
        pair,
        min_p,
        MODEL_NAMES[summary.model],
        choice,
        summary.validity,
        summary.diversity,
        summary.diversity_difference,
        summary.validity_ratio,
    )


def training_seeds(results: Results) -> Table:
    """Make a row for each testbed pair and seed of its training."""
    rows: list[tuple[Cell, ...]] = []
    spreads = []
    for report in results.crc_reports:
        seed = shipped_seed(report.pair)
        if seed is None:
            continue
        others = {s: crc_report(records, report.pair) for s, records in other_seeds(report.pair).items()}
        reports = {seed: report, **others}
        rows += [_seed_row(number, of_seed, report) for number, of_seed in reports.items()]
        if len(reports) > 1:
            spreads.append(_spread(report.pair, list(reports.values())))
    caption = (
        "The testbed's pairs trained from several seeds, each searched and chosen for anew. Weights of one seed ship; "
        "of the others only the scores do. Means over held-out prompts with 95% intervals; gains and ratios are paired "
        "with the same seed's instruct model. Overlap: shared layers over layers of either choice."
    )
    return Table(
        " ".join([caption, *spreads]) if rows else "No pair of this run was trained from several seeds.",
        (
            "pair",
            "seed",
            "layers",
            "overlap with the shipped pair's",
            "diversity: base",
            "instruct",
            "hybrid",
            "soup",
            "hybrid less instruct",
            "soup less instruct",
            "validity: hybrid / instruct's",
        ),
        tuple(rows),
    )


def _seed_row(seed: int, report: CrcReport, shipped: CrcReport) -> tuple[Cell, ...]:
    base, instruct, hybrid, soup = (report.summary(model, "held_out") for model in MODELS)
    return (
        report.pair,
        seed,
        "none" if report.interval is None else str(report.interval),
        _overlap(report, shipped),
        *(summary.diversity if summary else None for summary in (base, instruct, hybrid, soup)),
        hybrid.diversity_difference if hybrid else None,
        soup.diversity_difference if soup else None,
        hybrid.validity_ratio if hybrid else None,
    )


def _overlap(report: CrcReport, other: CrcReport) -> float | None:
    if report.interval is None or other.interval is None:
        return None
    return overlap(report.interval, other.interval)


def _spread(pair: str, reports: list[CrcReport]) -> str:
    """Say how far the seeds of one pair agree."""
    overlaps = [o for one, other in combinations(reports, 2) if (o := _overlap(one, other)) is not None]
    hybrids = [report.summary("hybrid", "held_out") for report in reports]
    gains = [h.diversity_difference.mean for h in hybrids if h and h.diversity_difference]
    mean_overlap = f"{np.mean(overlaps):.2f}" if overlaps else "undefined"
    spread = f"{min(gains):.3f} to {max(gains):.3f}" if gains else "not defined"
    return f"{pair}, {len(reports)} seeds: mean overlap of two seeds' choices {mean_overlap}, gain {spread}."
