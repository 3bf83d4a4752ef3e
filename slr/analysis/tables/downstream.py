"""The downstream experiments: every metric of every method, with quality next to diversity."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from statistics import stdev

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.figure_style import method_name
from slr.statistics.uncertainty import Estimate

STATISTICS = (
    "Means over prompts, each the mean over its seeds, with 95% intervals over prompts. If a mean is over fewer "
    "prompts than its row's number, it says over how many. Differences between methods are in the table of contrasts."
)
"""Sentences on the statistics, for captions."""


MAIN_WRITING_METRICS: frozenset[str] = frozenset(
    (
        "distinct_valid",
        "accepted",
        "valid",
        "constraint",
        "fluency",
        "utility",
        "median_words",
        "share_cut",
        "embedding_diversity",
        "vendi",
    )
)
"""Metrics in the main table of creative writing. Another table has all."""
VALID = (
    "In the testbed a text is valid if the world's grammar accepts it and it keeps to its subject, and all texts that "
    "are not equal are different. Elsewhere a valid text ended by itself, does not repeat itself, and keeps the "
    "constraint of its prompt where a program can check one; texts are different if their functional classes are."
)
"""Sentences on what counts as a different valid text, for captions."""


def creative_writing(results: Results) -> Table:
    """Make the table of poems, stories and jokes."""
    return _table(
        results,
        "creative_writing",
        "Creative writing. The primary metric is the number of different valid texts among a prompt's samples. "
        f"{VALID} Fluency is the mean log-probability of a token under another model, given the request.",
        MAIN_WRITING_METRICS,
    )


def creative_writing_metrics(results: Results) -> Table:
    """Make the table of poems, stories and jokes with every metric."""
    return _table(
        results,
        "creative_writing",
        "Creative writing: every metric. Self-BLEU, compression ratio and ROUGE-L are lower for more diverse texts. "
        "Adherence is the cosine similarity of a text and its request.",
    )


def open_qa(results: Results) -> Table:
    """Make the table of open questions."""
    return _table(
        results,
        "open_qa",
        "Open questions with many right answers. The primary metric is coverage on closed lists: the share of all "
        "right answers that a prompt's samples find. Precision is the share of samples that are right. Entropy is the "
        "entropy of the right samples over all right answers, from 0 to 1.",
    )


def reasoning(results: Results) -> Table:
    """Make the table of problems, and of the ones that the instruct model's greedy answer solves or fails."""
    return _table(
        results,
        "reasoning",
        "Reasoning problems. pass@k is the chance that one of k samples is right. The primary metric, in the first "
        "column, is over all problems. A choice of problems that instruct fails favours every other model, so these "
        "are shown apart.",
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
        (
            of.pair,
            name,
            of.group,
            method_name(of.method.id),
            of.metric.label,
            len(of.seed_means),
            *_spread(of.seed_means),
        )
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


def _table(results: Results, experiment: str, caption: str, metrics: Container[str] | None = None) -> Table:
    summaries = [
        of for of in results.method_summaries(experiment) if metrics is None or of.metric.id in metrics
    ]
    # A metric that is defined for no method would be an empty column.
    labels: dict[str, str] = {of.metric.id: of.metric.label for of in summaries if of.estimate is not None}
    rows: dict[tuple[str, str, str], dict[str, Estimate | None]] = {}
    for of in summaries:
        rows.setdefault((of.pair, of.group, method_name(of.method.id)), {})[of.metric.id] = of.estimate
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
