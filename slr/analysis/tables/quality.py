"""Benchmarks: the score of each model in each task."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.figure_style import MODEL_NAMES


def quality(results: Results) -> Table:
    """Make a row for each pair, task, metric and model."""
    rows = [
        (
            score.pair,
            score.task,
            score.metric,
            MODEL_NAMES[score.model],
            len(score.document_scores),
            score.num_fewshot,
            "yes" if score.chat_template else "no",
            summary.estimate,
            # Kept for comparison with other reports; our interval comes from the documents.
            score.standard_error,
            score.task_version,
        )
        for summary in results.harness_summaries
        for score in (summary.score,)
    ]
    versions = ", ".join(sorted({summary.score.harness_version for summary in results.harness_summaries}))
    return Table(
        f"Scores by lm-evaluation-harness {versions}. Each metric is named with the filter that reads the answers. "
        "Means over documents with 95% intervals, and lm-eval's standard error.",
        (
            "pair",
            "task",
            "metric",
            "model",
            "documents",
            "examples",
            "chat template",
            "score",
            "standard error",
            "task version",
        ),
        tuple(rows),
        count_column="documents",
    )
