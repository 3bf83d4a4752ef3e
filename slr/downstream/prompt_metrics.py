"""What one prompt's samples are worth: every metric of a task, made from a record's raw texts.

Torch-free. Only embeddings and fluency come from elsewhere, namely from the record's measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Literal, get_args

from slr.metrics.coverage import answer_entropy, coverage_at_k, coverage_curve, precision
from slr.metrics.lexical import compression_ratio, distinct_n, median_words, self_bleu
from slr.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from slr.runs.records import SampleMeasures, Samples
from slr.tasks.prompting_methods import PromptingMethod, draw_samples
from slr.tasks.prompts import Source, is_good_testbed_writing, question_key
from slr.tasks.reasoning import ReasoningProblem, is_right

Aspect = Literal["diversity", "quality", "both", "length"]

FEWEST_FIRST_WORDS = 4
"""Distinct-n at equal length looks at no fewer words than this, so that every n-gram up to 4 has room."""


@dataclass(frozen=True)
class Metric:
    """A number that each prompt's samples have.

    ``id`` names it in code, ``label`` where people read; ``aspect`` is what it speaks of.
    """

    id: str
    label: str
    aspect: Aspect
    of: Callable[[Samples, SampleMeasures | None], float | None]


def metrics_of(task: str, source: str, num_samples: int, first_words: int) -> tuple[Metric, ...]:
    """The metrics of a task.

    Args:
        task: ``creative_writing``, ``open_qa`` or ``reasoning``.
        source: of the prompts; it decides how the quality of a text is measured.
        num_samples: of each prompt.
        first_words: number of words of each text that distinct-n at equal length looks at.
    """
    if task == "creative_writing":
        return _writing_metrics(source, first_words)
    share_cut = Metric("share_cut", "share cut", "length", _share_cut)
    if task == "open_qa":
        return (
            Metric("precision", "precision", "quality", lambda samples, _: precision(right_answers(samples))),
            Metric("coverage", f"coverage at {num_samples}", "diversity", _coverage),
            Metric("answer_entropy", "answer entropy", "diversity", _entropy),
            Metric("unparsed", "answers not parsed", "quality", _unparsed),
            share_cut,
        )
    assert task == "reasoning"
    ks = [k for k in (1, 4, 16, 64) if k <= num_samples]
    return (
        *(
            Metric(f"pass_at_{k}", f"pass@{k}", "quality" if k == 1 else "both", partial(_pass_at, k=k))
            for k in ks
        ),
        share_cut,
    )


def _writing_metrics(source: str, first_words: int) -> tuple[Metric, ...]:
    quality = (
        (Metric("accepted", "accepted by the grammar", "quality", _accepted),)
        if source == "testbed"
        else (
            Metric("fluency", "fluency (proxy)", "quality", _fluency),
            Metric("adherence", "adherence (proxy)", "quality", _adherence),
        )
    )
    orders = (1, 2, 3, 4)
    return (
        Metric(
            "median_words", "words (median)", "length", lambda samples, _: median_words(_answers(samples))
        ),
        Metric("share_cut", "share cut", "length", _share_cut),
        Metric("embedding_diversity", "embedding diversity", "diversity", _embedding_diversity),
        Metric("beyond_window", "longer than the encoder's window", "length", _beyond_window),
        *(Metric(f"distinct_{n}", f"distinct-{n}", "diversity", partial(_distinct, n=n)) for n in orders),
        Metric("first_words", "first words", "length", lambda _, __: first_words),
        *(
            Metric(
                f"distinct_{n}_first",
                f"distinct-{n} of the first words",
                "diversity",
                partial(_distinct, n=n, first_words=first_words),
            )
            for n in orders
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
    """The number of words at which methods are compared: the smallest median number of words of any method."""
    texts: dict[str, list[str]] = {}
    for record in samples:
        texts.setdefault(record.method, []).extend(_answers(record))
    medians = [median for of_method in texts.values() if (median := median_words(of_method)) is not None]
    return max(FEWEST_FIRST_WORDS, math.floor(min(medians, default=0)))


def right_answers(samples: Samples) -> list[str | None]:
    """Of each sample of an open question, the right answer that it gives, or None."""
    key = question_key(_source(samples), samples.prompt_id)
    return [None if answer is None else key.recognise(answer) for answer in _parsed(samples)]


def coverage_curve_of(samples: Samples) -> tuple[float, ...]:
    """Coverage at k for every k up to the number of samples."""
    return coverage_curve(right_answers(samples), question_key(_source(samples), samples.prompt_id).num_right)


def num_right_of(samples: Samples) -> int:
    """How many right answers the question has."""
    return question_key(_source(samples), samples.prompt_id).num_right


def num_solved(samples: Samples) -> int:
    """How many samples of a reasoning problem are right."""
    assert samples.expected is not None
    problem = ReasoningProblem(samples.prompt_id, samples.text, samples.expected)
    return sum(
        is_right(problem, text, last_number_counts=samples.last_number_counts) for text in samples.texts
    )


def pass_curve_of(samples: Samples) -> tuple[float, ...]:
    """pass@k of a reasoning problem for every k up to the number of samples."""
    return tuple(pass_at_k_curve(len(samples.texts), num_solved(samples)).tolist())


def _source(samples: Samples) -> Source:
    assert samples.source in ("testbed", "offline", "hub")
    return samples.source


def _parsed(samples: Samples) -> tuple[str | None, ...]:
    """One answer a sample, by its prompting method; None where it could not be read."""
    return draw_samples(
        samples.texts,
        method=_METHODS[samples.prompting],
        dialect="testbed" if samples.source == "testbed" else "english",
        seed=samples.key,
    ).answers


_METHODS: dict[str, PromptingMethod] = {name: name for name in get_args(PromptingMethod)}


def _answers(samples: Samples) -> list[str]:
    return [answer for answer in _parsed(samples) if answer is not None]


def _unparsed(samples: Samples, _: SampleMeasures | None) -> float | None:
    if samples.prompting == "direct":
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


def _coverage(samples: Samples, _: SampleMeasures | None) -> float | None:
    return coverage_at_k(right_answers(samples), num_right_of(samples), len(samples.texts))


def _entropy(samples: Samples, _: SampleMeasures | None) -> float | None:
    return answer_entropy(right_answers(samples), num_right_of(samples))


def _pass_at(samples: Samples, _: SampleMeasures | None, k: int) -> float | None:
    return pass_at_k(len(samples.texts), num_solved(samples), k)
