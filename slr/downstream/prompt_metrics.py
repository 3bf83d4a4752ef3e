"""The tasks of open questions and reasoning, and their metrics, made from a record's raw texts.

No torch is needed: embeddings and fluency were computed before and come from the record of measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from slr.downstream.metric import Metric, MetricId
from slr.downstream.primary import PASS_AT, primary_metric
from slr.downstream.sampled_answers import parsed_answers, share_cut_of, unparsed_share
from slr.downstream.task import Task
from slr.downstream.writing_lengths import WritingLengths
from slr.metrics.coverage import answer_entropy, coverage_at_k, coverage_curve, precision
from slr.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from slr.runs.records import SampleMeasures, Samples
from slr.tasks.few_shot import few_shot_document
from slr.tasks.prompts import open_questions, question_key, reasoning_ids, reasoning_problems
from slr.tasks.reasoning import GSM8K_REVISION, ReasoningProblem, is_right
from slr.vocabulary import Aspect, Source

RightAnswers = Sequence[str | None]
"""Right answer that each sample gives; None where a sample gives none."""
MOST_REMEMBERED = 2**14
"""Number of records whose answers are kept after they were read."""
ReadAnswers = Callable[[Samples], RightAnswers | None]
"""Reads the answers in the samples of an open question; None where the answers are not known."""


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


def right_answers(samples: Samples) -> list[str | None]:
    """The right answer that each sample of an open question gives; None where it gives none."""
    return list(_recognised(samples.source, samples.prompt_id, parsed_answers(samples)))


@lru_cache(maxsize=MOST_REMEMBERED)  # several metrics, tables and figures read the same answers
def _recognised(source: Source, prompt_id: str, answers: tuple[str | None, ...]) -> tuple[str | None, ...]:
    key = question_key(source, prompt_id)
    return tuple(None if answer is None else key.recognise(answer) for answer in answers)


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
    return _num_right(problem, samples.texts, samples.last_number_counts)


@lru_cache(maxsize=MOST_REMEMBERED)  # pass@k asks for it once for each k
def _num_right(problem: ReasoningProblem, texts: tuple[str, ...], last_number_counts: bool) -> int:
    return sum(is_right(problem, text, last_number_counts=last_number_counts) for text in texts)


def pass_curve_of(samples: Samples) -> tuple[float, ...]:
    """pass@k of a reasoning problem for every k up to the number of samples, from 0 to 1."""
    return tuple(pass_at_k_curve(len(samples.texts), num_solved(samples)).tolist())


def _coverage(answers: RightAnswers, samples: Samples) -> float | None:
    return coverage_at_k(answers, num_right_of(samples), len(answers))


def _entropy(answers: RightAnswers, samples: Samples) -> float | None:
    return answer_entropy(answers, num_right_of(samples))


def _pass_at(samples: Samples, _: SampleMeasures | None, k: int) -> float | None:
    return pass_at_k(len(samples.texts), num_solved(samples), k)


def _open_qa_metrics(_source: Source, num_samples: int, _lengths: WritingLengths) -> tuple[Metric, ...]:
    return (
        coverage_metric("coverage", f"coverage at {num_samples}"),
        precision_metric("precision", "precision"),
        _answer_metric("answer_entropy", "answer entropy", "diversity", _entropy, right_answers),
        Metric("unparsed", "answers not parsed", "quality", unparsed_share),
        Metric("share_cut", "share cut", "length", share_cut_of),
    )


def _reasoning_metrics(_source: Source, num_samples: int, _lengths: WritingLengths) -> tuple[Metric, ...]:
    metrics = (
        *(
            Metric(id_, f"pass@{k}", "quality" if k == 1 else "both", partial(_pass_at, k=k))
            for k, id_ in PASS_AT
            if k <= num_samples
        ),
        Metric("share_cut", "share cut", "length", share_cut_of),
    )
    primary = primary_metric("reasoning", num_samples)
    return tuple(sorted(metrics, key=lambda metric: metric.id != primary))


OPEN_QA = Task(
    prompts=open_questions,
    metrics=_open_qa_metrics,
    few_shot=partial(few_shot_document, "open_qa"),
    curve=("coverage", coverage_curve_of),
)
"""Questions that have many right answers."""

REASONING = Task(
    prompts=reasoning_problems,
    ids=reasoning_ids,
    metrics=_reasoning_metrics,
    kind="problems",
    few_shot=partial(few_shot_document, "reasoning"),
    curve=("pass_at_k", pass_curve_of),
    # GSM8K would have to be downloaded before it is known whether anything is left to do.
    revisions={"hub": GSM8K_REVISION},
)
"""Problems with one number as the answer."""
