"""The choice of each search, and its scores next to the models that it is compared with."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.crc.recovered_gap import recovered_gap, summarise_few_shot
from slr.crc.report import KEPT, PROMPT_SETS, Category, CrcReport
from slr.figure_style import MODEL_NAMES
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import ModelKind, PromptSet

MODELS: tuple[ModelKind, ...] = ("base", "instruct", "hybrid", "soup")
"""Models in the table, in order."""
SCORE_COLUMNS = ("validity", "diversity", "validity less instruct's", "diversity less instruct's")
"""Headings of the columns with scores."""
RULE_COLUMNS = ("validity / instruct's", "rule kept")
"""Headings of the columns on the rule."""
GAP_COLUMNS = ("share of the gap to base, few-shot", "share of the gap to base, in the template")
"""Headings of the columns on the share of the gap in diversity that is regained."""


def selected_intervals(results: Results) -> Table:
    """Make rows for base, instruct, chosen hybrid and chosen soup on both prompt sets."""
    rows = [
        row
        for report in results.crc_reports
        for prompt_set in PROMPT_SETS
        for row in (
            _few_shot_row(results, report.pair, prompt_set),
            *(_row(results, report, model, prompt_set) for model in MODELS),
        )
    ]
    return Table(
        "CRC validity and diversity of the base model, the instruct model, the hybrid with the chosen layers restored, "
        "and the soup chosen by the same rule. Layers are counted from 0, and the end is not included. Choices are "
        "made on the selection prompts. Means over prompts with 95% intervals. Differences from the instruct model, "
        "and ratios to it, are paired by prompt; the ratios' 95% intervals are Fieller's. "
        f"The rule: {rules_of(results)}. Whether it is kept is decided by the mean. "
        "The base model is measured twice: as it is, in a document with worked examples, and inside the instruct "
        "model's chat template. The share of the gap regained is the difference in diversity from the instruct model "
        "over the base model's difference, by Fieller too. Where the interval of the gap holds 0, nobody can tell.",
        (
            "pair",
            "model",
            "choice",
            "layers restored",
            "prompts",
            *SCORE_COLUMNS,
            *RULE_COLUMNS,
            *GAP_COLUMNS,
        ),
        tuple(rows),
    )


def _row(results: Results, report: CrcReport, model: ModelKind, prompt_set: PromptSet) -> tuple[Cell, ...]:
    return (
        report.pair,
        "base, in the template" if model == "base" else MODEL_NAMES[model],
        _choice(report, model),
        _restored(report) if model == "hybrid" else "",
        prompt_set.replace("_", "-"),
        *score_cells(report, model, prompt_set),
        *rule_cells(report, model, prompt_set),
        *_gap_cells(results, report, model, prompt_set),
    )


def _few_shot_row(results: Results, pair: str, prompt_set: PromptSet) -> tuple[Cell, ...]:
    summary = summarise_few_shot(results.by_pair[pair], pair, prompt_set)
    scores = (None,) * 5
    if summary is not None:
        scores = (
            summary.validity,
            summary.diversity,
            summary.validity_difference,
            summary.diversity_difference,
            summary.validity_ratio,
        )
    return pair, "base, few-shot", "", "", prompt_set.replace("_", "-"), *scores, "", "", ""


def _gap_cells(
    results: Results, report: CrcReport, model: ModelKind, prompt_set: PromptSet
) -> tuple[Cell, Cell]:
    """The cells under ``GAP_COLUMNS``; empty for the models between which the gap is."""
    if model in ("base", "instruct"):
        return "", ""
    gap = recovered_gap(results.by_pair[report.pair], report, model, prompt_set)
    return (None, None) if gap is None else (_share(gap.few_shot), _share(gap.template))


def _share(share: Estimate | None) -> Cell:
    return "cannot tell" if share is not None and share.low is None else share


def score_cells(
    report: CrcReport, model: ModelKind, prompt_set: PromptSet, category: Category | None = None
) -> tuple[Cell, ...]:
    """The cells under ``SCORE_COLUMNS``.

    Args:
        report: the pair's report.
        model: kind of model.
        prompt_set: set of prompts.
        category: kind of characters; None for all prompts.

    Returns:
        The cells; undefined if nothing was chosen, or if it is not measured yet.
    """
    summary = report.summary(model, prompt_set, category)
    if summary is None:
        return (None,) * len(SCORE_COLUMNS)
    return summary.validity, summary.diversity, summary.validity_difference, summary.diversity_difference


def rule_cells(report: CrcReport, model: ModelKind, prompt_set: PromptSet) -> tuple[Cell, Cell]:
    """The cells under ``RULE_COLUMNS``.

    Args:
        report: the pair's report.
        model: kind of model.
        prompt_set: set of prompts.

    Returns:
        The ratio, and whether the rule is kept. The latter is "" for base and instruct, because they are not chosen.
    """
    summary = report.summary(model, prompt_set)
    is_kept = report.keeps_rule(model, prompt_set)
    rule = "" if model in ("base", "instruct") else None if is_kept is None else KEPT[is_kept]
    return (summary.validity_ratio if summary else None), rule


def rules_of(results: Results) -> str:
    """The rule in words; all of them if the pairs' choices were made by several rules."""
    return " or ".join(dict.fromkeys(str(report.rule) for report in results.crc_reports))


def _choice(report: CrcReport, model: ModelKind) -> str:
    if model == "hybrid":
        chosen = f"layers {report.interval}" if report.interval is not None else None
    elif model == "soup":
        chosen = f"alpha {report.soup_alpha:g}" if report.soup_alpha is not None else None
    else:
        return ""
    return chosen or "none is valid enough"


def _restored(report: CrcReport) -> str:
    return f"{len(report.interval) if report.interval is not None else 0} of {report.num_layers}"
