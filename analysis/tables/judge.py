"""What judges say of creative texts, how far two of them agree, and what a canonicaliser adds to the rules."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.load_results import Results
from analysis.tables.downstream import STATISTICS
from analysis.tables.table import Cell, Table, p_cell
from slr.downstream.report import MethodLine
from slr.quality.canonicaliser import canonical_lines
from slr.quality.judge import ASPECTS, HIGHEST, LOWEST
from slr.quality.judge_report import agreement, judged_lines
from slr.records import JudgeScores

SCALE = f"from {LOWEST} to {HIGHEST}"


def judge(results: Results) -> Table:
    """Scores of every genre and method."""
    rows: list[tuple[Cell, ...]] = []
    for scores in filter(None, (results.judge_scores, results.second_judge_scores)):
        for pair in dict.fromkeys(record.pair for record in scores):
            lines = judged_lines(results.of_experiment("creative_writing"), scores, pair)
            rows += _rows_of_pair(lines, [record for record in scores if record.pair == pair])
    columns = [name for aspect in ASPECTS for name in (aspect, f"{aspect}: difference", f"{aspect}: p")]
    return Table(
        "judge",
        f"Creative writing judged by a language model, blind to the method and in random order, {SCALE}. Not "
        "readable is the share of texts for which the judge's answer had not the form asked for; they have no "
        f"score. {STATISTICS}",
        ("pair", "genre", "method", "judge", "prompts", "texts", "not readable", *columns),
        tuple(rows),
    )


def _rows_of_pair(lines: Sequence[MethodLine], scores: Sequence[JudgeScores]) -> list[tuple[Cell, ...]]:
    rows = []
    for group, method in dict.fromkeys((record.group, record.method) for record in scores):
        records = [record for record in scores if (record.group, record.method) == (group, method)]
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
                given.count(None) / len(given),
                *(cell for aspect in ASPECTS for cell in _cells(of_aspect.get(aspect))),
            )
        )
    return rows


def _cells(line: MethodLine | None) -> tuple[Cell, ...]:
    return (None, None, None) if line is None else (line.estimate, line.difference, p_cell(line.p_value))


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
        "Spearman's rank correlation of two judges' scores of the same texts, with a 95% interval over "
        "prompts.",
        ("pair", "aspect", "first judge", "second judge", "texts scored by both", "correlation"),
        tuple(rows),
    )


def canonicaliser(results: Results) -> Table:
    """Open questions, with and without a language model that reads what the rules do not recognise."""
    canonical = results.canonical_answers
    rows: list[tuple[Cell, ...]] = []
    metrics: list[str] = []
    for pair in dict.fromkeys(record.pair for record in canonical):
        lines = canonical_lines(results.of_experiment("open_qa"), canonical, pair)
        metrics = list(dict.fromkeys(line.metric for line in lines))
        for method in dict.fromkeys(line.method for line in lines):
            estimates = {line.metric: line.estimate for line in lines if line.method == method}
            of_method = [record for record in canonical if (record.pair, record.method) == (pair, method)]
            asked = sum(record.num_asked for record in of_method)
            unusable = sum(record.num_unusable for record in of_method) / asked if asked else None
            rows.append((pair, method, *(estimates[metric] for metric in metrics), asked, unusable))
    return Table(
        "canonicaliser",
        "Open questions: precision and coverage by the rules alone, and with a language model that says which right "
        "answer is meant where they recognise none; the share of samples that it recognised beyond the rules; how many "
        "it was asked about, and the share of its replies that were neither a listed name nor NONE, and count as "
        "unrecognised. Means over prompts with 95% intervals.",
        ("pair", "method", *metrics, "asked about", "replies not usable"),
        tuple(rows),
    )
