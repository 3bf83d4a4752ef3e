"""Reports on downstream records: means over prompts with intervals, and contrasts between methods.

No torch is needed. Nothing here depends on the order of the records. A method is compared with what its records name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from slr.downstream.groups import ALL_GENRES, ALL_PROBLEMS, FAILED, POOLED, SOLVED
from slr.downstream.methods import Method, model_rank
from slr.downstream.metric import Metric
from slr.downstream.primary import PRIMARY_GROUPS, PRIMARY_METHOD
from slr.downstream.task import find_task, metrics_of
from slr.downstream.writing_lengths import NO_LENGTHS, lengths_of
from slr.runs.records import AddedMetric, AnyRecord, SampleMeasures, Samples, natural_key
from slr.runs.results import of_kind, of_pair
from slr.statistics.contrasts import Comparison, Contrast, make_contrasts
from slr.statistics.means import mean_defined
from slr.statistics.uncertainty import Estimate, estimate_mean
from slr.vocabulary import PromptingMethod


@dataclass(frozen=True, kw_only=True)
class MetricValues:
    """One metric of every method on one group of prompts, before any mean is taken.

    Attributes:
        experiment: name of the experiment.
        task: the task of its prompts.
        pair: name of the pair.
        family: name of the model family.
        group: genre, kind of question, or kind of problem.
        metric: the metric.
        methods: the methods, in the order of the tables.
        values: metric by method id, prompt id and seed; None where it is not defined.
    """

    experiment: str
    task: str
    pair: str
    family: str
    group: str
    metric: Metric
    methods: tuple[Method, ...]
    values: Mapping[str, Mapping[str, Mapping[int, float | None]]]

    @property
    def is_primary(self) -> bool:
        """Whether a claim rests on these values. None rests on other experiments that ask the same questions."""
        own = self.metric.is_primary and self.experiment == self.task
        return own and (self.task, self.group) in PRIMARY_GROUPS.items()

    def prompt_means(self, method: str) -> dict[str, float | None]:
        """The mean over seeds for each prompt; None where no seed has a value."""
        return {prompt: mean_defined(of_prompt.values()) for prompt, of_prompt in self.values[method].items()}

    def seed_means(self, method: str) -> tuple[float | None, ...]:
        """The mean over prompts for each seed; None where no prompt has a value."""
        seeds = sorted({seed for of_prompt in self.values[method].values() for seed in of_prompt})
        return tuple(mean_defined(of.get(seed) for of in self.values[method].values()) for seed in seeds)


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One metric of one method on one group of prompts.

    Attributes:
        pair: name of the pair.
        family: name of the model family.
        group: genre or kind of question.
        method: the method.
        metric: the metric.
        estimate: mean over prompts with its interval; each prompt counts with the mean over its seeds.
        seed_means: mean over prompts, for each seed.
    """

    pair: str
    family: str
    group: str
    method: Method
    metric: Metric
    estimate: Estimate | None
    seed_means: tuple[float | None, ...]


def metric_values(
    records: Iterable[AnyRecord], pair: str, metrics: Sequence[Metric] | None = None
) -> list[MetricValues]:
    """Every metric of every method on every prompt of one pair, by group and metric.

    The genres of creative writing are pooled into a further group, which comes first. So are the problems that the
    instruct model solves and fails.

    Args:
        records: samples and measures, of any pairs, in any order.
        pair: name of the pair.
        metrics: metrics to compute; None for all metrics of the samples' task, and other packages' on record.

    Returns:
        The values of each metric on each group.
    """
    records = list(records)
    samples = of_kind(of_pair(records, pair), Samples)
    measures = {record.samples: record for record in of_kind(records, SampleMeasures)}
    added = _recorded_metrics(of_pair(records, pair)) if metrics is None else []
    by_group: list[list[MetricValues]] = []
    for group in sorted({record.group for record in samples}):
        of_group = [record for record in samples if record.group == group]
        by_group.append(
            [
                _of_metric(of_group, metric, measures)
                for metric in metrics or (*_default_metrics(of_group), *added)
            ]
        )
    name = _pooled_group(samples)
    pooled = [_pooled(of_metric, name) for of_metric in zip(*by_group, strict=True)] if name else []
    return [values for of_group in (pooled, *by_group) for values in of_group]


def _pooled_group(samples: Sequence[Samples]) -> str | None:
    """Name the group that pools all groups of these samples; None if there is none."""
    groups = {record.group for record in samples}
    if groups and groups <= {SOLVED, FAILED}:
        return ALL_PROBLEMS
    return ALL_GENRES if len(groups) > 1 and _is_writing(samples[0].task) else None


def _default_metrics(samples: Sequence[Samples]) -> tuple[Metric, ...]:
    first = samples[0]
    lengths = lengths_of(samples) if _is_writing(first.task) else NO_LENGTHS
    return metrics_of(first.task, first.source, len(first.texts), lengths)


def _is_writing(task: str) -> bool:
    return find_task(task).value.kind == "writing"


def _recorded_metrics(records: Iterable[AnyRecord]) -> list[Metric]:
    """The metrics of other packages that the records have values of, by name, each from the latest package."""
    latest: dict[str, AddedMetric] = {}
    added = of_kind(records, AddedMetric)
    for record in added:
        if record.metric not in latest or _age(record) > _age(latest[record.metric]):
            latest[record.metric] = record
    return [
        _from_records(
            record, {r.samples: r.value for r in added if (r.metric, r.package) == (name, record.package)}
        )
        for name, record in sorted(latest.items())
    ]


def _age(record: AddedMetric) -> tuple[str, str]:
    return record.provenance.created_at, record.package


def _from_records(record: AddedMetric, values: Mapping[str, float | None]) -> Metric:
    return Metric(
        record.metric,
        f"{record.label} ({record.package})",
        record.aspect,
        lambda samples, _: values.get(samples.key),
    )


def _of_metric(
    samples: Sequence[Samples], metric: Metric, measures: Mapping[str, SampleMeasures]
) -> MetricValues:
    values: dict[str, dict[str, dict[int, float | None]]] = {}
    # Sorted, because the order of a sum changes its last bits.
    for record in sorted(samples, key=lambda r: (natural_key(r.prompt_id), r.seed)):
        of_prompt = values.setdefault(record.method, {}).setdefault(record.prompt_id, {})
        of_prompt[record.seed] = metric.of(record, measures.get(record.key))
    return MetricValues(
        experiment=samples[0].experiment,
        task=samples[0].task,
        pair=samples[0].pair,
        family=samples[0].family,
        group=samples[0].group,
        metric=metric,
        methods=_methods(samples),
        values=values,
    )


def _pooled(groups: Sequence[MetricValues], name: str) -> MetricValues:
    """The same metric over the prompts of all groups. The number of first words differs by group, so it is left out."""
    first = groups[0]
    is_constant = first.metric.id == "first_words"
    methods = {method.id: method for group in groups for method in group.methods}
    return MetricValues(
        experiment=first.experiment,
        task=first.task,
        pair=first.pair,
        family=first.family,
        group=name,
        metric=first.metric,
        methods=tuple(sorted(methods.values(), key=_place)),
        values={
            id_: {
                prompt: dict.fromkeys(of_prompt) if is_constant else of_prompt
                for group in groups
                for prompt, of_prompt in group.values.get(id_, {}).items()
            }
            for id_ in methods
        },
    )


def _methods(samples: Sequence[Samples]) -> tuple[Method, ...]:
    """Each method once: by way to ask, then by setting of sampling, then by model."""
    methods = {
        record.method: Method(
            id=record.method,
            model=record.model,
            sampling=record.sampling,
            prompting=record.prompting,
            references=record.references,
        )
        for record in samples
    }
    return tuple(sorted(methods.values(), key=_place))


def _place(method: Method) -> tuple[object, ...]:
    """Sort key: the place of a method in a table, whatever the order of the records."""
    return (
        get_args(PromptingMethod).index(method.prompting),
        method.sampling.temperature,
        method.sampling.top_p,
        method.sampling.min_p,
        model_rank(method.model),
        natural_key(method.id),
    )


def method_summaries(values: Iterable[MetricValues]) -> list[MethodSummary]:
    """The mean of every metric of every method, with its interval."""
    return [
        MethodSummary(
            pair=of_metric.pair,
            family=of_metric.family,
            group=of_metric.group,
            method=method,
            metric=of_metric.metric,
            estimate=estimate_mean(list(of_metric.prompt_means(method.id).values())),
            seed_means=of_metric.seed_means(method.id),
        )
        for of_metric in values
        for method in of_metric.methods
    ]


FAMILY = (
    "Holm-corrected over the contrasts of a pair and metric; contrasts over all genres or all problems are a family of "
    "their own, apart from contrasts by group"
)
"""Sentence on the correction of p-values, for captions."""
PRIMARY_FAMILY = (
    "The contrasts of the hybrid in the primary metrics of creative writing, open questions and reasoning are one "
    "further family for each pair"
)
"""Sentence on the correction of the p-values on which claims rest, for captions."""


def method_contrasts(
    values: Iterable[MetricValues], other_tasks: Iterable[MetricValues] = ()
) -> list[Contrast]:
    """Every method against each of its references, in every metric that is not a length; see ``FAMILY``.

    Args:
        values: the values of one experiment.
        other_tasks: values of the pair's other tasks. Their primary contrasts are in the same family as the ones here,
            and are not returned.

    Raises:
        ValueError: if a reference has no samples, or not the same prompts.
    """
    own = _comparisons(values)
    others = [c for c in _comparisons(v for v in other_tasks if v.is_primary) if c.is_primary]
    return make_contrasts([*own, *others], _family_of)[: len(own)]


def _family_of(comparison: Comparison) -> tuple[object, ...]:
    if comparison.is_primary:
        return comparison.pair, "primary"
    return comparison.pair, comparison.metric, comparison.group in POOLED


def _comparisons(values: Iterable[MetricValues]) -> list[Comparison]:
    comparisons = [
        _comparison(of_metric, method, reference)
        for of_metric in values
        if of_metric.metric.aspect != "length"
        for method in of_metric.methods
        for reference in method.references
    ]
    # A metric that is not defined for this pair would only enlarge the family of tests.
    return [c for c in comparisons if any(v is not None for v in (*c.values, *c.reference_values))]


def _comparison(values: MetricValues, method: Method, reference: str) -> Comparison:
    if reference not in values.values:
        raise ValueError(
            f"{values.pair}: {method.id!r} is compared with {reference!r}, which has no samples "
            f"({values.group}): run the experiment to its end"
        )
    reference_model = next(other.model for other in values.methods if other.id == reference)
    ours, theirs = values.prompt_means(method.id), values.prompt_means(reference)
    _check_same_prompts(values, method.id, ours, reference, theirs)
    return Comparison(
        pair=values.pair,
        group=values.group,
        metric=values.metric.id,
        label=values.metric.label,
        method=method.id,
        model=method.model,
        reference=reference,
        reference_model=reference_model,
        is_primary=values.is_primary and method.id == PRIMARY_METHOD,
        values=list(ours.values()),
        reference_values=[theirs[prompt] for prompt in ours],
    )


def _check_same_prompts(
    values: MetricValues, method: str, ours: Collection[str], reference: str, theirs: Collection[str]
) -> None:
    alone = sorted(set(ours) ^ set(theirs), key=natural_key)
    if alone:
        raise ValueError(
            f"{values.pair}: {method!r} and {reference!r} do not have samples for the same prompts of "
            f"{values.group} ({alone[0]!r} is in only one of them): run the experiment to its end"
        )
