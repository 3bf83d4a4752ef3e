"""The downstream experiments: every metric of every method, with quality next to diversity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import stdev

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.downstream.metric import MetricId
from slr.statistics.uncertainty import Estimate

STATISTICS = (
    "Means over prompts, each the mean over its seeds, with 95% intervals over prompts. If a mean is over fewer "
    "prompts than its row's number, it says over how many. Differences between methods are in the table of contrasts."
)
"""Sentences on the statistics, for captions."""


def creative_writing(results: Results) -> Table:
    """Make the table of poems, stories and jokes."""
    return _table(
        results,
        "creative_writing",
        "Creative writing: diversity of a prompt's samples, and quality. In the testbed, quality is the share of texts "
        "that the world's grammar accepts and that keep to their subject. Elsewhere there are two proxies until a "
        "judge is configured: fluency is the mean log-probability of a token under another model, and adherence the "
        "cosine similarity of a text and its request.",
    )


def open_qa(results: Results) -> Table:
    """Make the table of open questions."""
    return _table(
        results,
        "open_qa",
        "Open questions with many right answers. Precision is the share of samples that are right. Coverage is the "
        "expected share of all right answers among a prompt's samples. Entropy is the entropy of the right samples "
        "over all right answers, from 0 to 1.",
    )


def reasoning(results: Results) -> Table:
    """Make the table of problems that the instruct model's greedy answer gets wrong."""
    return _table(
        results,
        "reasoning",
        "Problems that the instruct model's greedy answer gets wrong. pass@k is the chance that one of k samples is "
        "right.",
    )


def restoration_controls(results: Results) -> Table:
    """Make the table of other intervals of the same length."""
    return _table(
        results,
        "restoration_controls",
        "Open questions, answered by hybrids that restore as many layers as the chosen interval has, elsewhere.",
    )


def decoding_methods(results: Results) -> Table:
    """Make the table of sampling settings, with and without restored layers."""
    return _table(
        results,
        "decoding_methods",
        "Open questions at several sampling settings, by the instruct model, the hybrid and the soup. Temperatures "
        "have min-p 0.1, so temperature=1 is also min-p=0.1. min-p and top-p are alone, at temperature 1.",
    )


def prompting_methods(results: Results) -> Table:
    """Make the table of ways to ask, with and without restored layers."""
    return _table(
        results,
        "prompting_methods",
        "Open questions asked directly, for a list, and by verbalized sampling, by the instruct model, the hybrid and "
        "the soup. One answer is drawn from each sample; an answer that cannot be read gives none.",
    )


def sampling_seeds(results: Results) -> Table:
    """Make the table of how far the mean over prompts moves from one seed of sampling to another."""
    rows = [
        (of.pair, name, of.group, of.method.id, of.metric.label, len(of.seed_means), *_spread(of.seed_means))
        for name in ("creative_writing", "open_qa", "reasoning")
        for of in results.method_summaries(name)
        if len(of.seed_means) > 1
    ]
    return Table(
        "Seeds of sampling: the smallest and the largest mean over prompts, and the standard deviation.",
        (
            "pair",
            "experiment",
            "group",
            "method",
            "metric",
            "seeds",
            "smallest",
            "largest",
            "standard deviation",
        ),
        tuple(rows),
    )


def _spread(seed_means: Sequence[float | None]) -> tuple[Cell, ...]:
    means = [mean for mean in seed_means if mean is not None]
    return (min(means), max(means), stdev(means)) if len(means) > 1 else (None, None, None)


def _table(results: Results, experiment: str, caption: str) -> Table:
    summaries = results.method_summaries(experiment)
    # A metric that is defined for no method would be an empty column.
    labels: dict[MetricId, str] = {
        of.metric.id: of.metric.label for of in summaries if of.estimate is not None
    }
    rows: dict[tuple[str, str, str], dict[MetricId, Estimate | None]] = {}
    for of in summaries:
        rows.setdefault((of.pair, of.group, of.method.id), {})[of.metric.id] = of.estimate
    return Table(
        f"{caption} {STATISTICS}",
        ("pair", "group", "method", "prompts", *labels.values()),
        tuple(
            (*key, most_items(estimates.values()), *(estimates.get(id_) for id_ in labels))
            for key, estimates in rows.items()
        ),
        count_column="prompts",
    )


def most_items(estimates: Iterable[Estimate | None]) -> int:
    """The largest number of items over which one of the estimates was taken."""
    return max((estimate.n for estimate in estimates if estimate is not None), default=0)
