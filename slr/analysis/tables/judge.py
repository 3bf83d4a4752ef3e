"""Scores of creative texts by judges, the agreement of two judges, and what a canonicaliser adds to the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slr.analysis.load_results import Results
from slr.analysis.tables.contrasts import contrast_table
from slr.analysis.tables.downstream import STATISTICS, most_items
from slr.analysis.tables.table import Cell, Table
from slr.downstream.groups import ALL_GENRES
from slr.downstream.report import MethodSummary, MetricValues, method_contrasts, method_summaries
from slr.judging.canonicaliser import canonical_summaries
from slr.judging.judge import ASPECTS, HIGHEST, LOWEST
from slr.judging.judge_report import VALID_ASPECTS, VALID_SCORE, agreement, judged_values
from slr.runs.records import JudgeScores
from slr.runs.results import by_pair, of_pair
from slr.statistics.contrasts import Contrast
from slr.statistics.uncertainty import Estimate

SCALE = f"from {LOWEST} to {HIGHEST}"
"""Words for the range of a score, for captions."""


def judge(results: Results) -> Table:
    """Make a row for each genre, method and judge."""
    rows: list[tuple[Cell, ...]] = []
    for scores in filter(None, (results.judge_scores, results.second_judge_scores)):
        for pair, of_judge in by_pair(scores).items():
            rows += _rows_of_pair(method_summaries(_values(results, scores, pair)), of_judge)
    return Table(
        "Creative writing judged by a language model that does not know the method and sees texts in random order. "
        f'Scores are {SCALE}. "Not readable" is the share of texts for which the judge\'s answer did not have the form '
        "asked for; these texts have no score. Different valid texts are functional classes among the judged texts "
        f"that score {VALID_SCORE} or more in {' and '.join(VALID_ASPECTS)}. {STATISTICS}",
        (
            "pair",
            "genre",
            "method",
            "judge",
            "prompts",
            "texts",
            "not readable",
            "different valid texts",
            *ASPECTS,
        ),
        tuple(rows),
        count_column="prompts",
    )


def judge_contrasts(results: Results) -> Table:
    """Compare methods by the first judge's scores."""
    scores = results.judge_scores
    contrasts: list[Contrast] = []
    for pair in by_pair(scores):
        contrasts += method_contrasts(_values(results, scores, pair))
    return contrast_table(
        f"Creative writing judged by a language model, {SCALE}: the methods compared.",
        contrasts,
    )


def _values(results: Results, scores: Sequence[JudgeScores], pair: str) -> list[MetricValues]:
    return judged_values(results.of_experiment("creative_writing"), scores, pair)


def _rows_of_pair(
    summaries: Sequence[MethodSummary], scores: Sequence[JudgeScores]
) -> list[tuple[Cell, ...]]:
    rows = []
    for (group, method), estimates in _estimates(summaries).items():
        records = [r for r in scores if r.method == method and group in (r.group, ALL_GENRES)]
        if not records:  # the judge has not read this method's texts yet
            continue
        # A reply gives all aspects or none, so the first aspect counts the texts without a score.
        given = [score for record in records for score in record.scores[ASPECTS[0]]]
        rows.append(
            (
                records[0].pair,
                group,
                method,
                records[0].judge,
                len(records),
                len(given),
                given.count(None) / len(given) if given else None,
                estimates.get("distinct_valid"),
                *(estimates.get(aspect) for aspect in ASPECTS),
            )
        )
    return rows


def _estimates(
    summaries: Iterable[MethodSummary],
) -> dict[tuple[str, str], dict[str, Estimate | None]]:
    """The estimate of each metric, for each group and method."""
    found: dict[tuple[str, str], dict[str, Estimate | None]] = {}
    for of in summaries:
        found.setdefault((of.group, of.method.id), {})[of.metric.id] = of.estimate
    return found


def judge_agreement(results: Results) -> Table:
    """Make a row for each pair and aspect: the rank correlation of two judges."""
    rows = []
    for pair, ours in by_pair(results.judge_scores).items():
        theirs = of_pair(results.second_judge_scores, pair)
        for aspect in ASPECTS if theirs else ():
            correlation, num_texts = agreement(ours, theirs, aspect)
            rows.append((pair, aspect, ours[0].judge, theirs[0].judge, num_texts, correlation))
    return Table(
        "Spearman's rank correlation of two judges' scores of the same texts, with a 95% jackknife interval over "
        "prompts.",
        ("pair", "aspect", "first judge", "second judge", "texts scored by both", "correlation"),
        tuple(rows),
    )


def canonicaliser(results: Results) -> Table:
    """Compare the rules alone with a language model that reads what the rules do not recognise."""
    rows: list[tuple[Cell, ...]] = []
    labels: dict[str, str] = {}
    for pair, canonical in by_pair(results.canonical_answers).items():
        summaries = canonical_summaries(results.of_experiment("open_qa"), canonical, pair)
        labels = {of.metric.id: of.metric.label for of in summaries}
        groups = {record.key: record.group for record in of_pair(results.samples_of("open_qa"), pair)}
        for (group, method), estimates in _estimates(summaries).items():
            records = [r for r in canonical if (groups.get(r.samples), r.method) == (group, method)]
            asked = sum(record.num_asked for record in records)
            unusable = sum(record.num_unusable for record in records) / asked if asked else None
            means = (estimates[id_] for id_ in labels)
            rows.append((pair, group, method, most_items(estimates.values()), *means, asked, unusable))
    return Table(
        "Open questions: precision and coverage by the rules alone, and with a language model that says which right "
        "answer is meant where the rules recognise none. Also the share of samples that it recognised beyond the "
        "rules, and the number of answers it was asked about. A reply is not usable if it is neither a listed name "
        "nor NONE; such an answer counts as unrecognised. Means over prompts with 95% intervals.",
        ("pair", "group", "method", "prompts", *labels.values(), "asked about", "replies not usable"),
        tuple(rows),
        count_column="prompts",
    )
