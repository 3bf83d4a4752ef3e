"""The tables: pure functions of records. Captions say what is in them; numbers are means with 95% intervals."""

from __future__ import annotations

from analysis.load_results import Results
from analysis.table import Cell, Table
from slr.crc.prompts import load_prompts
from slr.crc.report import CrcReport, ModelLine
from slr.figure_style import MODEL_NAMES
from slr.records import SearchCost

SELECTED_COLUMNS = (
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
    """What each search chose, and how it and all that it is compared to score on both prompt sets."""
    rows = [_selected_row(report, line) for report in results.crc_reports for line in report.models]
    return Table(
        "selected_intervals",
        "CRC validity and diversity of the base and instruct models, of the hybrid with the chosen layers "
        "restored, and of the soup chosen by the same rule. Choices are made on the selection prompts. Means "
        "over prompts with 95% bootstrap intervals; differences to the instruct model are paired by prompt.",
        SELECTED_COLUMNS,
        tuple(rows),
    )


def by_category(results: Results) -> Table:
    """The same scores for letters and digits apart."""
    rows = [
        (line.category, *_selected_row(report, line))
        for report in results.crc_reports
        for line in report.by_category
    ]
    return Table(
        "by_category",
        "CRC validity and diversity by category of prompt; columns as in the table of selected intervals.",
        ("category", *SELECTED_COLUMNS),
        tuple(rows),
    )


def _selected_row(report: CrcReport, line: ModelLine) -> tuple[Cell, ...]:
    choice = ""
    if line.interval is not None:
        choice = f"layers {line.interval} of {report.num_layers}"
    elif line.alpha is not None:
        choice = f"alpha {line.alpha:g}"
    is_instruct = line.model == "instruct"
    return (
        report.pair,
        MODEL_NAMES[line.model],
        choice,
        line.prompt_set.replace("_", "-"),
        line.validity,
        line.diversity,
        None if is_instruct else line.validity_difference,
        None if is_instruct else line.diversity_difference,
    )


def selection_reasons(results: Results) -> Table:
    """Why each interval and each soup was chosen, or why none was."""
    rows = [
        row
        for report in results.crc_reports
        for row in (
            (report.pair, "interval", str(report.interval or "none"), report.interval_reason),
            (
                report.pair,
                "soup",
                f"{report.soup_alpha:g}" if report.soup_alpha is not None else "none",
                report.soup_reason,
            ),
        )
    ]
    return Table(
        "selection_reasons",
        "The choices in words. Intervals are half-open and counted from 0.",
        ("pair", "choice of", "chosen", "reason"),
        tuple(rows),
    )


def best_intervals(results: Results) -> Table:
    """The best admissible intervals of each pair."""
    rows: list[tuple[Cell, ...]] = []
    for report in results.crc_reports:
        on_front = {candidate.choice for candidate in report.front}
        for rank, candidate in enumerate(report.best, start=1):
            is_on_front = "yes" if candidate.choice in on_front else "no"
            rows.append(
                (
                    report.pair,
                    rank,
                    str(candidate.choice),
                    candidate.validity,
                    candidate.diversity,
                    is_on_front,
                )
            )
    return Table(
        "best_intervals",
        "The best admissible intervals by diversity on the selection prompts.",
        ("pair", "rank", "layers", "validity", "diversity", "on the Pareto front"),
        tuple(rows),
    )


def search_cost(results: Results) -> Table:
    """Cost of scoring every interval, by the shared search and, where measured, by the plain loop."""
    costs = results.search_costs
    loops = {cost.pair: cost for cost in costs if cost.method == "loop"}
    return Table(
        "search_cost",
        "Cost of scoring every interval: the shared search, and where it was measured the plain loop over "
        "hybrids, on the same machine in one run. Tokens are summed over layer evaluations.",
        (
            "pair",
            "method",
            "layers",
            "intervals",
            "prompts",
            "seconds",
            "loop's seconds / these",
            "layer evaluations",
            "tokens computed",
            "peak memory (MB)",
            "dtype",
            "device",
        ),
        tuple(_cost_row(cost, loops.get(cost.pair)) for cost in costs),
    )


def _cost_row(cost: SearchCost, loop: SearchCost | None) -> tuple[Cell, ...]:
    return (
        cost.pair,
        "shared search" if cost.method == "shared" else "loop",
        cost.num_layers,
        cost.num_intervals,
        cost.num_prompts,
        cost.seconds,
        loop.seconds / cost.seconds if loop and cost.method == "shared" else None,
        cost.layer_evaluations,
        cost.tokens_computed,
        round(cost.peak_memory_bytes / 1e6) if cost.peak_memory_bytes else None,
        cost.dtype,
        cost.provenance.device,
    )


def models(results: Results) -> Table:
    """The checkpoints compared, with their revisions."""
    return Table(
        "models",
        "The pairs compared, as they were opened.",
        ("pair", "class", "base", "instruct", "layers", "hidden size", "parameters", "vocabulary", "dtype"),
        tuple(
            (
                info.pair,
                info.architecture,
                _at(info.base, info.base_revision),
                _at(info.instruct, info.instruct_revision),
                info.num_layers,
                info.hidden_size,
                info.num_parameters,
                info.vocab_size,
                info.dtype,
            )
            for info in results.pair_infos
        ),
    )


def crc_prompts(_results: Results) -> Table:
    """Every CRC prompt with its valid set."""
    return Table(
        "crc_prompts",
        "The CRC prompts in full. Each valid set is given as its characters one after the other.",
        ("prompt", "category", "text", "valid set"),
        tuple(
            (prompt.id, prompt.category, prompt.text, prompt.valid)
            for prompt_set in ("selection", "held_out")
            for prompt in load_prompts(prompt_set)
        ),
    )


def _at(location: str, revision: str | None) -> str:
    return f"{location}@{revision[:12]}" if revision else location


TABLES = (
    selected_intervals,
    by_category,
    selection_reasons,
    best_intervals,
    search_cost,
    models,
    crc_prompts,
)
"""Every table that there is."""
