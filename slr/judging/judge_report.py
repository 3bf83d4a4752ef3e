"""Reports on judges' scores: metrics of each prompt, and how well two judges agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean

import numpy as np

from slr.downstream.metric import Metric
from slr.downstream.report import MetricValues, metric_values
from slr.judging.judge import ASPECTS, HIGHEST, LOWEST
from slr.metrics.novelty import distinct_valid
from slr.runs.records import AnyRecord, JudgeScores, SampleMeasures, Samples
from slr.statistics.uncertainty import Estimate, t_quantile

VALID_ASPECTS = ("fluency", "adherence")
"""Aspects that decide whether a judged text is valid. Originality is no condition of quality."""
VALID_SCORE = 5
"""Score in each of these aspects from which a text is valid, of 10."""
FEWEST_PROMPTS = 3
"""Number of prompts from which the agreement of two judges has an interval."""


def judged_values(
    records: Sequence[AnyRecord], scores: Iterable[JudgeScores], pair: str
) -> list[MetricValues]:
    """Every aspect, and the number of different valid texts, of every method on every prompt of one pair.

    Args:
        records: records of the samples.
        scores: the judge's scores.
        pair: name of the pair.

    Returns:
        The values of each metric. A prompt's value of an aspect is the mean over its texts that have a score; None
        where no text has one. The number of different valid texts is of the judged texts alone.
    """
    by_samples = {record.samples: record for record in scores}
    metrics = [
        Metric("distinct_valid", "different valid texts", "diversity", partial(_distinct_valid, by_samples)),
        *(Metric(aspect, aspect, "quality", partial(_mean_score, by_samples, aspect)) for aspect in ASPECTS),
    ]
    return metric_values(records, pair, metrics)


def _distinct_valid(
    scores: Mapping[str, JudgeScores], samples: Samples, measures: SampleMeasures | None
) -> float | None:
    """Count the classes among the judged texts that score ``VALID_SCORE`` or more; None if none could be counted."""
    record = scores.get(samples.key)
    if record is None or not record.indices or measures is None or measures.classes is None:
        return None
    rows = zip(record.indices, *(record.scores[aspect] for aspect in VALID_ASPECTS), strict=True)
    return distinct_valid(
        [
            measures.classes[index]
            if all(score is not None and score >= VALID_SCORE for score in given)
            else None
            for index, *given in rows
        ]
    )


def _mean_score(
    scores: Mapping[str, JudgeScores], aspect: str, samples: Samples, _: SampleMeasures | None
) -> float | None:
    record = scores.get(samples.key)
    given = [] if record is None else [score for score in record.scores[aspect] if score is not None]
    return fmean(given) if given else None


def agreement(
    first: Iterable[JudgeScores], second: Iterable[JudgeScores], aspect: str
) -> tuple[Estimate | None, int]:
    """Spearman's rank correlation of two judges' scores of the same texts.

    The interval is Student's t for Fisher's z of the correlation. The standard error of z is the jackknife's over
    prompts, because texts of one prompt depend on each other. There is no interval for fewer than three prompts, nor
    for a correlation of 1 or -1.

    Source: Efron and Tibshirani 1993, chapter 11, for the jackknife.

    Args:
        first: one judge's scores.
        second: the other judge's scores.
        aspect: the aspect of the rubric.

    Returns:
        The correlation, from -1 to 1, whose ``n`` counts prompts; and the number of texts that both judges scored.
        The correlation is None if either judge gave all texts one score, or if no text was scored by both.
    """
    tables = _tables_by_prompt(first, second, aspect)
    total = tables.sum(axis=0)
    num_prompts, num_texts = len(tables), int(tables.sum())
    correlation = float(_spearman(total))
    if np.isnan(correlation):
        return None, num_texts
    # Fisher's z is nearly normal, unlike a correlation near 1. At 1 and -1 it is infinite.
    with np.errstate(divide="ignore", invalid="ignore"):
        z, without_one = np.arctanh(correlation), np.arctanh(_spearman(total - tables))
        error = np.sqrt((num_prompts - 1) * without_one.var())
    if num_prompts < FEWEST_PROMPTS or not 0 < error < np.inf:
        return Estimate(correlation, None, None, num_prompts), num_texts
    half = t_quantile(num_prompts) * error
    return Estimate(correlation, float(np.tanh(z - half)), float(np.tanh(z + half)), num_prompts), num_texts


def _tables_by_prompt(first: Iterable[JudgeScores], second: Iterable[JudgeScores], aspect: str) -> np.ndarray:
    """For each prompt that both judges scored, the number of times that they gave each pair of scores.

    Returns:
        Counts of shape [prompts, 10, 10].
    """
    others = {
        record.samples: dict(zip(record.indices, record.scores[aspect], strict=True)) for record in second
    }
    size = HIGHEST - LOWEST + 1
    tables: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros((size, size)))
    for record in first:
        of_other = others.get(record.samples, {})
        for index, score in zip(record.indices, record.scores[aspect], strict=True):
            other = of_other.get(index)
            if score is not None and other is not None:
                tables[record.pair, record.prompt_id][score - LOWEST, other - LOWEST] += 1
    return np.stack(list(tables.values())) if tables else np.zeros((0, size, size))


def _spearman(tables: np.ndarray) -> np.ndarray:
    """Spearman's correlation from counts of pairs of scores, [..., 10, 10]; nan where it is not defined.

    It is Pearson's correlation of the ranks, where equal scores share their mean rank.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        # From counts it takes the same time however many texts there are, and the jackknife needs it once a prompt.
        centred = []
        for axis in (-1, -2):
            counts = tables.sum(axis=axis)
            # The mean rank of equal scores: all lower ones come before it, and half of the equal ones.
            ranks = counts.cumsum(axis=-1) - counts / 2
            centred.append(ranks - ((ranks * counts).sum(-1) / counts.sum(-1))[..., None])
        rows, columns = centred
        covariance = np.einsum("...ij,...i,...j->...", tables, rows, columns)
        variances = np.einsum("...ij,...i->...", tables, rows**2) * np.einsum(
            "...ij,...j->...", tables, columns**2
        )
        return covariance / np.sqrt(variances)
