"""Downstream records put together: metrics of each prompt, and means over prompts with intervals and tests.

Torch-free. Every number is made from the raw samples of a record, but for what its measures say (embeddings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Literal, get_args

from slr.downstream.tasks import Source, is_good_testbed_writing, question_key
from slr.metrics.coverage import answer_entropy, coverage_at_k, coverage_curve, precision
from slr.metrics.lexical import compression_ratio, distinct_n, self_bleu, words
from slr.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from slr.records import AnyRecord, Family, SampleMeasures, Samples
from slr.tasks.prompting_methods import PromptingMethod, draw_samples
from slr.tasks.reasoning import ReasoningProblem, is_right
from slr.uncertainty import Estimate, estimate_difference, estimate_mean, holm, paired_p_value

Aspect = Literal["diversity", "quality", "both"]


@dataclass(frozen=True)
class Metric:
    """A number that each prompt's samples have. ``aspect`` is what it speaks of."""

    name: str
    aspect: Aspect
    of: Callable[[Samples, SampleMeasures | None], float | None]


@dataclass(frozen=True, kw_only=True)
class MethodLine:
    """One metric of one method on one group of prompts: the mean over prompts, each the mean over its seeds.

    ``difference`` is paired with the first method of the experiment, ``p_value`` Holm-corrected over the
    methods of the same metric and group; both None for that method itself. ``seed_means`` has the mean over
    prompts of each seed.
    """

    pair: str
    family: Family
    group: str
    method: str
    model: str
    prompting: str
    metric: str
    estimate: Estimate | None
    difference: Estimate | None
    p_value: float | None
    seed_means: tuple[float | None, ...]


def metrics_of(task: str, source: str, num_samples: int) -> tuple[Metric, ...]:
    """The metrics of a task, for prompts of a source and so many samples."""
    if task == "creative_writing":
        quality = (
            (Metric("accepted by the grammar", "quality", _accepted),)
            if source == "testbed"
            else (
                Metric("fluency (proxy)", "quality", _fluency),
                Metric("adherence (proxy)", "quality", _adherence),
            )
        )
        return (
            Metric("embedding diversity", "diversity", _embedding_diversity),
            *(Metric(f"distinct-{n}", "diversity", partial(_distinct, n=n)) for n in (1, 2, 3, 4)),
            Metric("self-BLEU-4", "diversity", _self_bleu),
            Metric("compression ratio", "diversity", lambda samples, _: compression_ratio(_answers(samples))),
            *quality,
            Metric("answers not parsed", "quality", _unparsed),
        )
    if task == "open_qa":
        return (
            Metric("precision", "quality", lambda samples, _: precision(right_answers(samples))),
            Metric(f"coverage at {num_samples}", "diversity", _coverage),
            Metric("answer entropy", "diversity", _entropy),
            Metric("answers not parsed", "quality", _unparsed),
        )
    assert task == "reasoning"
    ks = [k for k in (1, 4, 16, 64) if k <= num_samples]
    return tuple(Metric(f"pass@{k}", "quality" if k == 1 else "both", partial(_pass_at, k=k)) for k in ks)


def method_lines(
    records: Sequence[AnyRecord], pair: str, metrics: Iterable[Metric] | None = None
) -> list[MethodLine]:
    """Every metric of every method of one pair, by group, in the order in which methods were run."""
    samples = [r for r in records if isinstance(r, Samples) and r.pair == pair]
    measures = {r.samples: r for r in records if isinstance(r, SampleMeasures)}
    if not samples:
        return []
    first = samples[0]
    metrics = tuple(metrics_of(first.task, first.source, len(first.texts)) if metrics is None else metrics)
    lines = []
    for group in dict.fromkeys(record.group for record in samples):
        of_group = [record for record in samples if record.group == group]
        for metric in metrics:
            lines += _lines_of_metric(of_group, metric, measures)
    return lines


def _lines_of_metric(
    samples: Sequence[Samples], metric: Metric, measures: Mapping[str, SampleMeasures]
) -> list[MethodLine]:
    values: dict[str, dict[tuple[str, int], float | None]] = {}
    for record in samples:
        of_method = values.setdefault(record.method, {})
        of_method[record.prompt_id, record.seed] = metric.of(record, measures.get(record.key))
    by_method = {record.method: record for record in samples}
    reference = next(iter(values))
    prompts = list(dict.fromkeys(record.prompt_id for record in samples))
    means = {method: [_mean_over_seeds(of, prompt) for prompt in prompts] for method, of in values.items()}
    others = [method for method in values if method != reference]
    p_values = dict(
        zip(others, holm([paired_p_value(means[m], means[reference]) for m in others]), strict=True)
    )
    return [
        MethodLine(
            pair=record.pair,
            family=record.family,
            group=record.group,
            method=method,
            model=record.model,
            prompting=record.prompting,
            metric=metric.name,
            estimate=estimate_mean(means[method]),
            difference=None if method == reference else estimate_difference(means[method], means[reference]),
            p_value=p_values.get(method),
            seed_means=_seed_means(values[method]),
        )
        for method, record in by_method.items()
    ]


def _mean_over_seeds(values: Mapping[tuple[str, int], float | None], prompt: str) -> float | None:
    defined = [value for (id_, _), value in values.items() if id_ == prompt and value is not None]
    return fmean(defined) if defined else None


def _seed_means(values: Mapping[tuple[str, int], float | None]) -> tuple[float | None, ...]:
    seeds = sorted({seed for _, seed in values})
    by_seed = [[v for (_, s), v in values.items() if s == seed and v is not None] for seed in seeds]
    return tuple(fmean(of_seed) if of_seed else None for of_seed in by_seed)


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


def _distinct(samples: Samples, _: SampleMeasures | None, n: int) -> float | None:
    return distinct_n(_answers(samples), n)


def _self_bleu(samples: Samples, _: SampleMeasures | None) -> float | None:
    # A sample without words would score 0, as if it were unlike all others.
    return self_bleu([answer for answer in _answers(samples) if words(answer)])


def _embedding_diversity(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None else measures.embedding_diversity


def _accepted(samples: Samples, _: SampleMeasures | None) -> float | None:
    answers = _parsed(samples)
    good = [a is not None and is_good_testbed_writing(samples.prompt_id, a) for a in answers]
    return sum(good) / len(good)


def _fluency(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None or measures.fluency is None else _mean_defined(measures.fluency)


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
