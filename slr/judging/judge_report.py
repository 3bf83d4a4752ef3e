"""Judges' scores put together: metrics of each prompt, and how far two judges agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean

import numpy as np

from slr.downstream.prompt_metrics import Metric
from slr.downstream.report import MetricValues, metric_values
from slr.judging.judge import ASPECTS, HIGHEST, LOWEST
from slr.runs.records import AnyRecord, JudgeScores, SampleMeasures, Samples
from slr.statistics.uncertainty import Estimate, t_quantile

FEWEST_PROMPTS = 3
"""For an interval of two judges' agreement."""


def judged_values(
    records: Sequence[AnyRecord], scores: Iterable[JudgeScores], pair: str
) -> list[MetricValues]:
    """Every aspect of every method on every prompt of one pair, from the samples' records and one judge's scores.

    A prompt's value is the mean over its texts that have a score; it is None where none has.
    """
    by_samples = {record.samples: record for record in scores}
    metrics = [
        Metric(aspect, aspect, "quality", partial(_mean_score, by_samples, aspect)) for aspect in ASPECTS
    ]
    return metric_values(records, pair, metrics)


def _mean_score(
    scores: Mapping[str, JudgeScores], aspect: str, samples: Samples, _: SampleMeasures | None
) -> float | None:
    record = scores.get(samples.key)
    given = [] if record is None else [score for score in record.scores[aspect] if score is not None]
    return fmean(given) if given else None


def agreement(
    first: Iterable[JudgeScores], second: Iterable[JudgeScores], aspect: str
) -> tuple[Estimate | None, int]:
    """Spearman's rank correlation of two judges' scores of the same texts, and how many texts both scored.

    The interval is Student's t for Fisher's z of the correlation, whose standard error is the jackknife's over
    prompts, because texts of a prompt depend on each other; ``n`` of the estimate counts prompts. There is none for
    fewer than three prompts, nor for a correlation of 1 or -1. The correlation is None if either judge gave all texts
    one score, or no text was scored by both.

    Source: Efron and Tibshirani 1993, chapter 11, for the jackknife.
    """
    tables = _tables_by_prompt(first, second, aspect)
    total = tables.sum(axis=0)
    num_prompts, num_texts = len(tables), int(tables.sum())
    correlation = float(_spearman(total))
    if np.isnan(correlation):
        return None, num_texts
    with np.errstate(divide="ignore", invalid="ignore"):
        z, without_one = np.arctanh(correlation), np.arctanh(_spearman(total - tables))
        error = np.sqrt((num_prompts - 1) * without_one.var())
    if num_prompts < FEWEST_PROMPTS or not 0 < error < np.inf:
        return Estimate(correlation, None, None, num_prompts), num_texts
    half = t_quantile(num_prompts) * error
    return Estimate(correlation, float(np.tanh(z - half)), float(np.tanh(z + half)), num_prompts), num_texts


def _tables_by_prompt(first: Iterable[JudgeScores], second: Iterable[JudgeScores], aspect: str) -> np.ndarray:
    """For each prompt that both judges scored, how often they gave each pair of scores: [prompts, 10, 10]."""
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

    It is Pearson's correlation of the ranks, where equal scores share their mean rank; from counts it takes the
    same time however many texts there are.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = []
        for axis in (-1, -2):
            counts = tables.sum(axis=axis)
            ranks = counts.cumsum(axis=-1) - counts / 2
            centred.append(ranks - ((ranks * counts).sum(-1) / counts.sum(-1))[..., None])
        rows, columns = centred
        covariance = np.einsum("...ij,...i,...j->...", tables, rows, columns)
        variances = np.einsum("...ij,...i->...", tables, rows**2) * np.einsum(
            "...ij,...j->...", tables, columns**2
        )
        return covariance / np.sqrt(variances)
