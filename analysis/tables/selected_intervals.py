"""What each search chose, and how it scores beside all that it is compared to."""

from __future__ import annotations

from analysis.load_results import Results
from analysis.tables.table import Cell, Table
from slr.crc.report import PROMPT_SETS, Category, CrcReport
from slr.figure_style import MODEL_NAMES
from slr.records import ModelKind, PromptSet

MODELS: tuple[ModelKind, ...] = ("base", "instruct", "hybrid", "soup")
COLUMNS = (
    "pair",
    "model",
    "choice",
    "prompts",
    "validity",
    "diversity",
    "validity less instruct's",
    "diversity less instruct's",
)


def selected_intervals(results: Results) -> Table:
    """Base, instruct, chosen hybrid and chosen soup on both prompt sets."""
    rows = [
        score_row(report, model, prompt_set)
        for report in results.crc_reports
        for prompt_set in PROMPT_SETS
        for model in MODELS
    ]
    return Table(
        "selected_intervals",
        "CRC validity and diversity of the base and instruct models, of the hybrid with the chosen layers "
        "restored, and of the soup chosen by the same rule. Choices are made on the selection prompts. Means "
        "over prompts with 95% bootstrap intervals; differences to the instruct model are paired by prompt.",
        COLUMNS,
        tuple(rows),
    )


def score_row(
    report: CrcReport, model: ModelKind, prompt_set: PromptSet, category: Category | None = None
) -> tuple[Cell, ...]:
    """The cells under ``COLUMNS``; without scores where nothing was chosen, or it is not measured yet."""
    line = report.line(model, prompt_set, category)
    names = (report.pair, MODEL_NAMES[model], _choice(report, model), prompt_set.replace("_", "-"))
    if line is None:
        return (*names, None, None, None, None)
    differences = (line.validity_difference, line.diversity_difference)
    return (*names, line.validity, line.diversity, *((None, None) if model == "instruct" else differences))


def _choice(report: CrcReport, model: ModelKind) -> str:
    if model == "hybrid":
        chosen = f"layers {report.interval} of {report.num_layers}" if report.interval else None
    elif model == "soup":
        chosen = f"alpha {report.soup_alpha:g}" if report.soup_alpha is not None else None
    else:
        return ""
    return chosen or "none is valid enough"
