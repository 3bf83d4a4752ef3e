"""Contrasts: each method against the methods that it names as its references, one row for each metric."""

from __future__ import annotations

from collections.abc import Iterable

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table, p_cell
from slr.downstream.report import FAMILY, PRIMARY_FAMILY
from slr.figure_style import method_name
from slr.statistics.contrasts import Contrast
from slr.vocabulary import TaskName

PAIRED = (
    "Both means are over the same items, so that the difference is the difference of the means shown. Its 95% "
    "interval is paired. p is from a two-sided paired permutation test."
)
"""Sentences on the statistics, for captions."""
COLUMNS = (
    "metric",
    "method",
    "compared with",
    "items",
    "mean",
    "reference's mean",
    "difference",
    "p",
    "family size",
)


def contrast_table(
    caption: str, contrasts: Iterable[Contrast], group: str = "group", family: str = FAMILY
) -> Table:
    """Make a table of contrasts.

    Args:
        caption: sentence that says what is compared.
        contrasts: the contrasts, in the order of the rows.
        group: heading of the column that names the prompts or the task of a row.
        family: words that say over which contrasts p was corrected.

    Returns:
        The table.
    """
    rows = [
        (
            contrast.pair,
            contrast.group,
            contrast.label,
            method_name(contrast.method),
            method_name(contrast.reference),
            contrast.num_items,
            contrast.mean,
            contrast.reference_mean,
            contrast.difference,
            p_cell(contrast.p_value),
            contrast.family_size,
        )
        for contrast in contrasts
    ]
    return Table(
        f"{caption} {PAIRED} It is {family}.",
        ("pair", group, *COLUMNS),
        tuple(rows),
        count_column="items",
    )


def crc_contrasts(results: Results) -> Table:
    """Compare models by CRC on held-out prompts."""
    return contrast_table(
        "CRC validity and diversity on prompts that the choice did not see: the models compared, by prompt.",
        results.contrasts("crc_search"),
        group="prompts",
        family="Holm-corrected over the contrasts of a pair and metric",
    )


def creative_writing_contrasts(results: Results) -> Table:
    """Compare methods on creative writing."""
    return _of_task(results, "creative_writing", "Creative writing: the methods compared.")


def open_qa_contrasts(results: Results) -> Table:
    """Compare methods on open questions."""
    return _of_task(results, "open_qa", "Open questions: the methods compared.")


def reasoning_contrasts(results: Results) -> Table:
    """Compare methods on all problems, and on the ones that the instruct model's greedy answer solves or fails."""
    return _of_task(
        results,
        "reasoning",
        "Reasoning: the methods compared. The choice of problems that instruct fails favours every other model, and "
        "the choice of problems that it solves favours instruct.",
    )


def restoration_controls_contrasts(results: Results) -> Table:
    """Compare the chosen interval with other intervals of the same length."""
    return _of_experiment(
        results,
        "restoration_controls",
        "Open questions: the hybrid with the chosen interval against hybrids that restore as many layers elsewhere, "
        "and all of them against the instruct model.",
    )


def decoding_methods_contrasts(results: Results) -> Table:
    """Compare the hybrid with instruct and soup at the same sampling setting."""
    return _of_experiment(
        results, "decoding_methods", "Open questions: models compared at the same sampling setting."
    )


def prompting_methods_contrasts(results: Results) -> Table:
    """Compare the hybrid with instruct and soup with the same way to ask."""
    return _of_experiment(
        results, "prompting_methods", "Open questions: models compared with the same prompting method."
    )


def quality_contrasts(results: Results) -> Table:
    """Compare models on benchmarks."""
    return contrast_table(
        "Scores by lm-evaluation-harness: the models compared, by document.",
        results.contrasts("quality"),
        group="task",
        family="Holm-corrected over all contrasts of a pair",
    )


def _of_task(results: Results, task: TaskName, caption: str) -> Table:
    """Compare methods in one of the experiments on which claims rest."""
    return contrast_table(caption, results.contrasts(task), family=f"{FAMILY}. {PRIMARY_FAMILY}")


def _of_experiment(results: Results, experiment: str, caption: str) -> Table:
    return contrast_table(caption, results.contrasts(experiment))
