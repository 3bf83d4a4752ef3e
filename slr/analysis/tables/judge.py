"""What judges say of creative texts, how far two of them agree, and what a canonicaliser adds to the rules."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.load_results import Results
from slr.analysis.tables.contrasts import contrast_table
from slr.analysis.tables.downstream import STATISTICS
from slr.analysis.tables.table import Cell, Table
from slr.downstream.report import ALL_GENRES, MethodLine, MetricValues, method_contrasts, method_lines
from slr.judging.canonicaliser import canonical_lines
from slr.judging.judge import ASPECTS, HIGHEST, LOWEST
from slr.judging.judge_report import agreement, judged_values
from slr.runs.records import JudgeScores
from slr.statistics.contrasts import Contrast

SCALE = f"from {LOWEST} to {HIGHEST}"


def judge(results: Results) -> Table:
    """Scores of every genre and method."""
    rows: list[tuple[Cell, ...]] = []
    for scores in filter(None, (results.judge_scores, results.second_judge_scores)):
        for pair in dict.fromkeys(record.pair for record in scores):
            lines = method_lines(_values(results, scores, pair))
            rows += _rows_of_pair(lines, [record for record in scores if record.pair == pair])
    return Table(
        "judge",
        f"Creative writing judged by a language model, blind to the method and in random order, {SCALE}. Not "
        "readable is the share of texts for which the judge's answer had not the form asked for; they have no "
        f"score. {STATISTICS}",
        ("pair", "genre", "method", "judge", "prompts", "texts", "not readable", *ASPECTS),
        tuple(rows),
        count_column="prompts",
    )


def judge_contrasts(results: Results) -> Table:
    """What the first judge says, method against method."""
    scores = results.judge_scores
    contrasts: list[Contrast] = []
    for pair in dict.fromkeys(record.pair for record in scores):
        contrasts += method_contrasts(_values(results, scores, pair))
    return contrast_table(
        "judge_contrasts",
        f"Creative writing judged by a language model, {SCALE}: the methods compared.",
        contrasts,
    )


def _values(results: Results, scores: Sequence[JudgeScores], pair: str) -> list[MetricValues]:
    return judged_values(results.of_experiment("creative_writing"), scores, pair)


def _rows_of_pair(lines: Sequence[MethodLine], scores: Sequence[JudgeScores]) -> list[tuple[Cell, ...]]:
    rows = []
    for group, method in dict.fromkeys((line.group, line.method) for line in lines):
        records = [r for r in scores if r.method == method and group in (r.group, ALL_GENRES)]
        if not records:  # the judge has not come to it
            continue
        of_aspect = {line.metric: line for line in lines if (line.group, line.method) == (group, method)}
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
                *(of_aspect[aspect].estimate if aspect in of_aspect else None for aspect in ASPECTS),
            )
        )
    return rows


def judge_agreement(results: Results) -> Table:
    """Rank correlation of two judges."""
    first, second = results.judge_scores, results.second_judge_scores
    rows = []
    for pair in dict.fromkeys(record.pair for record in first):
        ours, theirs = ([record for record in of if record.pair == pair] for of in (first, second))
        for aspect in ASPECTS if theirs else ():
            correlation, num_texts = agreement(ours, theirs, aspect)
            rows.append((pair, aspect, ours[0].judge, theirs[0].judge, num_texts, correlation))
    return Table(
        "judge_agreement",
        "Spearman's rank correlation of two judges' scores of the same texts, with a 95% bootstrap interval over "
        "prompts.",
        ("pair", "aspect", "first judge", "second judge", "texts scored by both", "correlation"),
        tuple(rows),
    )


def canonicaliser(results: Results) -> Table:
    """Open questions, with and without a language model that reads what the rules do not recognise."""
    canonical = results.canonical_answers
    rows: list[tuple[Cell, ...]] = []
    labels: list[str] = []
    for pair in dict.fromkeys(record.pair for record in canonical):
        lines = canonical_lines(results.of_experiment("open_qa"), canonical, pair)
        labels = list(dict.fromkeys(line.label for line in lines))
        for group, method in dict.fromkeys((line.group, line.method) for line in lines):
            estimates = {
                line.label: line.estimate for line in lines if (line.group, line.method) == (group, method)
            }
            num_prompts = max((e.n for e in estimates.values() if e is not None), default=0)
            prompts = {
                s.key
                for s in results.samples_of("open_qa")
                if (s.pair, s.group, s.method) == (pair, group, method)
            }
            of_method = [record for record in canonical if record.samples in prompts]
            asked = sum(record.num_asked for record in of_method)
            unusable = sum(record.num_unusable for record in of_method) / asked if asked else None
            means = (estimates[label] for label in labels)
            rows.append((pair, group, method, num_prompts, *means, asked, unusable))
    return Table(
        "canonicaliser",
        "Open questions: precision and coverage by the rules alone, and with a language model that says which right "
        "answer is meant where they recognise none; the share of samples that it recognised beyond the rules; how many "
        "it was asked about, and the share of its replies that were neither a listed name nor NONE, and count as "
        "unrecognised. Means over prompts with 95% intervals.",
        ("pair", "group", "method", "prompts", *labels, "asked about", "replies not usable"),
        tuple(rows),
        count_column="prompts",
    )
