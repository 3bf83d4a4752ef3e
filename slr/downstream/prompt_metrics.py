"""Metrics of one prompt's samples, made from a record's raw texts.

No torch is needed: embeddings and fluency were computed before and come from the record of measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Literal

from slr.metrics.coverage import answer_entropy, coverage_at_k, coverage_curve, precision
from slr.metrics.lexical import compression_ratio, distinct_n, median_words, self_bleu
from slr.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from slr.runs.records import SampleMeasures, Samples
from slr.tasks.prompting_methods import draw_samples
from slr.tasks.prompts import is_good_testbed_writing, question_key
from slr.tasks.reasoning import ReasoningProblem, is_right
from slr.vocabulary import Source, TaskName

Aspect = Literal["diversity", "quality", "both", "length"]
"""Property of the samples that a metric is about."""

MetricId = Literal[
    "accepted",
    "adherence",
    "answer_entropy",
    "beyond_window",
    "compression_ratio",
    "coverage",
    "coverage_by_rules",
    "coverage_with",
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "distinct_4",
    "distinct_1_first",
    "distinct_2_first",
    "distinct_3_first",
    "distinct_4_first",
    "embedding_diversity",
    "first_words",
    "fluency",
    "median_words",
    "originality",
    "pass_at_1",
    "pass_at_4",
    "pass_at_16",
    "pass_at_64",
    "precision",
    "precision_by_rules",
    "precision_with",
    "recognised_beyond",
    "self_bleu",
    "share_cut",
    "unparsed",
]

FEWEST_FIRST_WORDS = 4
"""Smallest number of words at which distinct-n is compared at equal length, so that n-grams up to n = 4 fit."""


@dataclass(frozen=True)
class Metric:
    """A number that describes one prompt's samples.

    Attributes:
        id: name in code and in W&B.
        label: name for people.
        aspect: property that the number is about.
        of: computes the number from a record of samples and its measures; None where it is not defined.
    """

    id: MetricId
    label: str
    aspect: Aspect
    of: Callable[[Samples, SampleMeasures | None], float | None]


RightAnswers = Sequence[str | None]
"""Right answer that each sample gives; None where a sample gives none."""
ReadAnswers = Callable[[Samples], RightAnswers | None]
"""Reads the answers in the samples of an open question; None where the answers are not known."""

_DISTINCT: tuple[tuple[int, MetricId, MetricId], ...] = (
    (1, "distinct_1", "distinct_1_first"),
    (2, "distinct_2", "distinct_2_first"),
    (3, "distinct_3", "distinct_3_first"),
    (4, "distinct_4", "distinct_4_first"),
)
"""n, the metric of whole texts, and the metric of their first words."""
_PASS_AT: tuple[tuple[int, MetricId], ...] = (
    (1, "pass_at_1"),
    (4, "pass_at_4"),
    (16, "pass_at_16"),
    (64, "pass_at_64"),
)
"""Number of samples k, and the metric pass@k."""


def metrics_of(task: TaskName, source: Source, num_samples: int, first_words: int) -> tuple[Metric, ...]:
    """The metrics of a task.

    Args:
        task: the task.
        source: origin of the prompts, which decides how the quality of a text is measured.
        num_samples: number of samples of each prompt.
        first_words: number of words of each text at which distinct-n is compared at equal length.

    Returns:
        The metrics, in the order of the tables.
    """
    share_cut = Metric("share_cut", "share cut", "length", _share_cut)
    if task == "creative_writing":
        return _writing_metrics(source, first_words)
    if task == "open_qa":
        return (
            precision_metric("precision", "precision"),
            coverage_metric("coverage", f"coverage at {num_samples}"),
            _answer_metric("answer_entropy", "answer entropy", "diversity", _entropy, right_answers),
            Metric("unparsed", "answers not parsed", "quality", _unparsed),
            share_cut,
        )
    return (
        *(
            Metric(id_, f"pass@{k}", "quality" if k == 1 else "both", partial(_pass_at, k=k))
            for k, id_ in _PASS_AT
            if k <= num_samples
        ),
        share_cut,
    )


def precision_metric(id_: MetricId, label: str, read: ReadAnswers | None = None) -> Metric:
    """Make the metric for the share of samples that give a right answer.

    Args:
        id_: id of the metric.
        label: name for people.
        read: reads the answers; None for the rules.

    Returns:
        The metric, from 0 to 1.
    """
    return _answer_metric(id_, label, "quality", lambda answers, _: precision(answers), read or right_answers)


def coverage_metric(id_: MetricId, label: str, read: ReadAnswers | None = None) -> Metric:
    """Make the metric for the share of all right answers that the samples give.

    Args:
        id_: id of the metric.
        label: name for people.
        read: reads the answers; None for the rules.

    Returns:
        The metric, from 0 to 1.
    """
    return _answer_metric(id_, label, "diversity", _coverage, read or right_answers)


def _answer_metric(
    id_: MetricId,
    label: str,
    aspect: Aspect,
    measure: Callable[[RightAnswers, Samples], float | None],
    read: ReadAnswers,
) -> Metric:
    def of(samples: Samples, _: SampleMeasures | None) -> float | None:
        answers = read(samples)
        return None if answers is None else measure(answers, samples)

    return Metric(id_, label, aspect, of)


def _writing_metrics(source: Source, first_words: int) -> tuple[Metric, ...]:
    quality = (
        # The testbed's grammar judges its texts exactly. English has only proxies.
        (Metric("accepted", "accepted by the grammar", "quality", _accepted),)
        if source == "testbed"
        else (
            Metric("fluency", "fluency (proxy)", "quality", _fluency),
            Metric("adherence", "adherence (proxy)", "quality", _adherence),
        )
    )
    return (
        Metric(
            "median_words", "words (median)", "length", lambda samples, _: median_words(_answers(samples))
        ),
        Metric("share_cut", "share cut", "length", _share_cut),
        Metric("embedding_diversity", "embedding diversity", "diversity", _embedding_diversity),
        Metric("beyond_window", "longer than the encoder's window", "length", _beyond_window),
        *(Metric(id_, f"distinct-{n}", "diversity", partial(_distinct, n=n)) for n, id_, _ in _DISTINCT),
        Metric("first_words", "first words", "length", lambda _, __: first_words),
        *(
            Metric(
                id_,
                f"distinct-{n} of the first words",
                "diversity",
                partial(_distinct, n=n, first_words=first_words),
            )
            for n, _, id_ in _DISTINCT
        ),
        Metric("self_bleu", "self-BLEU-4", "diversity", _self_bleu),
        Metric(
            "compression_ratio",
            "compression ratio",
            "diversity",
            lambda samples, _: compression_ratio(_answers(samples)),
        ),
        *quality,
        Metric("unparsed", "answers not parsed", "quality", _unparsed),
    )


def equal_length(samples: Iterable[Samples]) -> int:
    """Number of words at which methods are compared: the smallest median number of words of any method."""
    texts: dict[str, list[str]] = {}
    for record in samples:
        texts.setdefault(record.method, []).extend(_answers(record))
    medians = [median for of_method in texts.values() if (median := median_words(of_method)) is not None]
    return max(FEWEST_FIRST_WORDS, math.floor(min(medians, default=0)))


def right_answers(samples: Samples) -> list[str | None]:
    """The right answer that each sample of an open question gives; None where it gives none."""
    key = question_key(samples.source, samples.prompt_id)
    return [None if answer is None else key.recognise(answer) for answer in _parsed(samples)]


def coverage_curve_of(samples: Samples) -> tuple[float, ...]:
    """Coverage at k for every k up to the number of samples, from 0 to 1."""
    return coverage_curve(right_answers(samples), question_key(samples.source, samples.prompt_id).num_right)


def num_right_of(samples: Samples) -> int:
    """Number of right answers that the question has."""
    return question_key(samples.source, samples.prompt_id).num_right


def num_solved(samples: Samples) -> int:
    """Number of samples of a reasoning problem that are right."""
    assert samples.expected is not None
    problem = ReasoningProblem(samples.prompt_id, samples.text, samples.expected)
    return sum(
        is_right(problem, text, last_number_counts=samples.last_number_counts) for text in samples.texts
    )


def pass_curve_of(samples: Samples) -> tuple[float, ...]:
    """pass@k of a reasoning problem for every k up to the number of samples, from 0 to 1."""
    return tuple(pass_at_k_curve(len(samples.texts), num_solved(samples)).tolist())


def _parsed(samples: Samples) -> tuple[str | None, ...]:
    """One answer for each sample, as its prompting method gives it; None where it could not be read."""
    return draw_samples(
        samples.texts,
        method=samples.prompting,
        dialect="testbed" if samples.source == "testbed" else "english",
        seed=samples.seed_key,
    )


def _answers(samples: Samples) -> list[str]:
    return [answer for answer in _parsed(samples) if answer is not None]


def _unparsed(samples: Samples, _: SampleMeasures | None) -> float | None:
    if samples.prompting == "direct":
        # An answer to a direct question is the text itself, which cannot fail to be read.
        return None
    parsed = _parsed(samples)
    return sum(answer is None for answer in parsed) / len(parsed)


def _share_cut(samples: Samples, _: SampleMeasures | None) -> float | None:
    return sum(not finished for finished in samples.finished) / len(samples.finished)


def _beyond_window(_: Samples, measures: SampleMeasures | None) -> float | None:
    longer = None if measures is None else measures.longer_than_window
    return sum(longer) / len(longer) if longer else None


def _distinct(
    samples: Samples, _: SampleMeasures | None, n: int, first_words: int | None = None
) -> float | None:
    return distinct_n(_answers(samples), n, first_words)


def _self_bleu(samples: Samples, _: SampleMeasures | None) -> float | None:
    return self_bleu(_answers(samples))


def _embedding_diversity(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None else measures.embedding_diversity


def _accepted(samples: Samples, _: SampleMeasures | None) -> float | None:
    answers = _parsed(samples)
    good = [a is not None and is_good_testbed_writing(samples.prompt_id, a) for a in answers]
    return sum(good) / len(good)


def _fluency(_: Samples, measures: SampleMeasures | None) -> float | None:
    fluency = None if measures is None else measures.fluency_given_request
    return None if fluency is None else _mean_defined(fluency)


def _adherence(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None else _mean_defined(measures.adherence)


def _mean_defined(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def _coverage(answers: RightAnswers, samples: Samples) -> float | None:
    return coverage_at_k(answers, num_right_of(samples), len(answers))


def _entropy(answers: RightAnswers, samples: Samples) -> float | None:
    return answer_entropy(answers, num_right_of(samples))


def _pass_at(samples: Samples, _: SampleMeasures | None, k: int) -> float | None:
    return pass_at_k(len(samples.texts), num_solved(samples), k)
