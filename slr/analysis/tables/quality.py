"""Benchmarks: what each model scores, and what that is less than the instruct model's score."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.figure_style import MODEL_NAMES


def quality(results: Results) -> Table:
    """A row a pair, task, metric and model."""
    rows = [
        (
            line.pair,
            line.score.task,
            line.score.metric,
            MODEL_NAMES["hybrid" if line.model == "slr" else line.model],
            len(line.score.document_scores),
            line.score.num_fewshot,
            "yes" if line.score.chat_template else "no",
            line.estimate,
            line.score.standard_error,
            line.score.task_version,
        )
        for line in results.harness_lines
    ]
    versions = ", ".join(sorted({line.score.harness_version for line in results.harness_lines}))
    return Table(
        "quality",
        f"Scores by lm-evaluation-harness {versions}, for each metric with the filter that reads the answers. Means "
        "over documents with 95% intervals, and lm-eval's standard error.",
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
