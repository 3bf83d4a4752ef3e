"""Reports on whether CRC predicts: correlations over intervals, and the regret of the chosen interval.

No torch is needed. Nothing here depends on the order of the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from slr.downstream.metric import Metric, MetricId
from slr.downstream.primary import primary_metric, quality_metric
from slr.downstream.task import metrics_of
from slr.intervals import LayerInterval
from slr.runs.records import (
    AnyRecord,
    IntervalHarnessScore,
    SampleMeasures,
    Samples,
    SpreadIntervals,
    natural_key,
)
from slr.runs.results import of_kind, of_pair
from slr.statistics.rank_correlation import spearman
from slr.statistics.uncertainty import Estimate, estimate_difference, estimate_mean, estimate_ratio
from slr.vocabulary import TaskName

CrcMeasure = Literal["validity", "diversity"]
"""Mean over the selection prompts that may predict something."""
LEAST_QUALITY = 0.9
"""Smallest share of the instruct model's quality that an interval must keep to be the best in hindsight."""
INSTRUCT = "instruct"
"""Method id of the instruct model."""

Values = tuple[float | None, ...]
"""One number for each prompt or document, in the same order for every model."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What the intervals were measured by.

    Attributes:
        id: name in code and in W&B.
        label: name for people.
        task: the task; None for a score by lm-eval.
        aspect: "primary" counts different good answers; "quality" is a share of good answers, or a score by lm-eval.
    """

    id: str
    label: str
    task: TaskName | None
    aspect: Literal["primary", "quality"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One interval: its place in the CRC plane, and all measures of it.

    Attributes:
        interval: the restored layers.
        is_chosen: whether the search chose it.
        validity: mean CRC validity on the selection prompts.
        diversity: mean CRC diversity on the selection prompts.
        values: values of each measure, by its id.
        means: their mean with its interval.
    """

    interval: LayerInterval
    is_chosen: bool
    validity: float
    diversity: float
    values: Mapping[str, Values]
    means: Mapping[str, Estimate | None]

    def mean(self, measure: Measure) -> float | None:
        """The mean of a measure; None where it is not defined."""
        estimate = self.means[measure.id]
        return None if estimate is None else estimate.mean


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation of CRC and a measure over intervals; None where it is not defined."""

    crc: CrcMeasure
    measure: Measure
    spearman: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Regret:
    """How much a task's primary measure could have been higher, had one known the results before the choice.

    The best in hindsight is among the measured intervals that keep ``LEAST_QUALITY`` of the instruct model's quality on
    the task.

    Attributes:
        measure: the primary measure.
        num_admissible: number of measured intervals that keep the quality.
        chosen_keeps: whether the chosen interval is one of them.
        best: the best in hindsight; None if no interval keeps the quality.
        regret: best minus chosen, paired by prompt. It is too high, because the same prompts pick the best.
        cross_fitted: the same where one half of the prompts picks the best and the other half measures it, and the
            other way round. So luck does not count.
        share: chosen divided by best.
    """

    measure: Measure
    num_admissible: int
    chosen_keeps: bool
    best: LayerInterval | None
    regret: Estimate | None
    cross_fitted: Estimate | None
    share: Estimate | None


@dataclass(frozen=True, kw_only=True)
class PredictionReport:
    """The outcome for one pair.

    Attributes:
        pair: name of the pair.
        measures: what was measured: by task the primary measure and the quality, then scores by lm-eval.
        points: the intervals, the chosen one first.
        correlations: of each CRC mean with each measure.
        regrets: one for each task; empty if the search chose nothing.
    """

    pair: str
    measures: tuple[Measure, ...]
    points: tuple[Point, ...]
    correlations: tuple[Correlation, ...]
    regrets: tuple[Regret, ...]

    def correlation(self, crc: CrcMeasure, measure: str) -> Estimate | None:
        """Spearman's correlation of a CRC mean with the measure of that id; None where it is not defined."""
        return next((c.spearman for c in self.correlations if (c.crc, c.measure.id) == (crc, measure)), None)


def method_of(ends: tuple[int, int]) -> str:
    """The method id of the hybrid of an interval."""
    return f"layers {LayerInterval(*ends)}"


def prediction_report(records: Sequence[AnyRecord], pair: str) -> PredictionReport:
    """Make the report on one pair.

    Args:
        records: records of the experiment, maybe of several pairs.
        pair: name of the pair.

    Returns:
        The report.

    Raises:
        ValueError: if a part of the pair's records is missing.
    """
    records = of_pair(records, pair)
    (spread,) = of_kind(records, SpreadIntervals) or (None,)
    if spread is None:
        raise ValueError(f"{pair}: no intervals yet: run slr run prediction to its end")
    by_measure = _values(records)
    methods = [method_of(ends) for ends in spread.intervals]
    _check_complete(pair, by_measure, methods)
    points = [
        Point(
            interval=LayerInterval(*ends),
            is_chosen=ends == spread.chosen,
            validity=validity,
            diversity=diversity,
            values={measure.id: of_models[method] for measure, of_models in by_measure},
            means={measure.id: estimate_mean(of_models[method]) for measure, of_models in by_measure},
        )
        for ends, validity, diversity, method in zip(
            spread.intervals, spread.validity, spread.diversity, methods, strict=True
        )
    ]
    measures = tuple(measure for measure, _ in by_measure)
    instruct = {measure.id: of_models[INSTRUCT] for measure, of_models in by_measure}
    return PredictionReport(
        pair=pair,
        measures=measures,
        points=tuple(points),
        correlations=tuple(
            Correlation(
                crc,
                measure,
                spearman(
                    [getattr(point, crc) for point in points], [point.mean(measure) for point in points]
                ),
            )
            for crc in get_args(CrcMeasure)
            for measure in measures
        ),
        regrets=tuple(_regrets(points, measures, instruct)),
    )


_ByModel = Mapping[str, Values]


def _values(records: Sequence[AnyRecord]) -> list[tuple[Measure, _ByModel]]:
    """The values of every measure by method id: tasks in their fixed order, then scores by lm-eval."""
    found: list[tuple[Measure, _ByModel]] = []
    measures = {measure.samples: measure for measure in of_kind(records, SampleMeasures)}
    for task in get_args(TaskName):
        samples = [record for record in of_kind(records, Samples) if record.task == task]
        if samples:
            found += [
                (measure, _of_samples(samples, metric, measures))
                for measure, metric in _measures_of(task, samples[0])
            ]
    scores: dict[tuple[str, str], dict[str, Values]] = {}
    for score in sorted(of_kind(records, IntervalHarnessScore), key=lambda s: (s.task, s.metric)):
        model = INSTRUCT if score.interval is None else method_of(score.interval)
        scores.setdefault((score.task, score.metric), {})[model] = score.document_scores
    for (task, metric), of_models in scores.items():
        # A task's name is enough where it has one metric.
        is_only = sum(name == task for name, _ in scores) == 1
        name = task if is_only else f"{task} {metric}"
        found.append((Measure(id=name, label=f"lm-eval {name}", task=None, aspect="quality"), of_models))
    return found


def _measures_of(task: TaskName, samples: Samples) -> list[tuple[Measure, Metric]]:
    """The primary metric of a task, and its quality."""
    num_samples = len(samples.texts)
    metrics = {metric.id: metric for metric in metrics_of(task, samples.source, num_samples)}
    aspects: dict[Literal["primary", "quality"], MetricId] = {
        "primary": primary_metric(task, num_samples),
        "quality": quality_metric(task, samples.source),
    }
    return [
        (Measure(id=id_, label=metrics[id_].label, task=task, aspect=aspect), metrics[id_])
        for aspect, id_ in aspects.items()
    ]


def _of_samples(
    samples: Sequence[Samples], metric: Metric, measures: Mapping[str, SampleMeasures]
) -> dict[str, Values]:
    values: dict[str, dict[str, float | None]] = {}
    # Sorted, because models are paired by the places of their prompts.
    for record in sorted(samples, key=lambda record: natural_key(record.prompt_id)):
        values.setdefault(record.method, {})[record.prompt_id] = metric.of(record, measures.get(record.key))
    return {method: tuple(of_prompts.values()) for method, of_prompts in values.items()}


def _check_complete(
    pair: str, by_measure: Sequence[tuple[Measure, _ByModel]], methods: Sequence[str]
) -> None:
    for measure, of_models in by_measure:
        # A model that lacks a prompt would be compared with others over other prompts.
        lengths = {len(of_models.get(method, ())) for method in (INSTRUCT, *methods)}
        if lengths != {len(next(iter(of_models.values())))}:
            raise ValueError(
                f"{pair}: some intervals lack values of {measure.label}: run slr run prediction to its end"
            )
    if not by_measure:
        raise ValueError(f"{pair}: nothing is measured yet: run slr run prediction to its end")


def _regrets(
    points: Sequence[Point], measures: Sequence[Measure], instruct: Mapping[str, Values]
) -> list[Regret]:
    chosen = next((point for point in points if point.is_chosen), None)
    if chosen is None:
        return []
    qualities = {measure.task: measure for measure in measures if measure.aspect == "quality"}
    return [
        _regret(chosen, points, measure, qualities[measure.task], instruct)
        for measure in measures
        if measure.aspect == "primary"
    ]


def _regret(
    chosen: Point, points: Sequence[Point], measure: Measure, quality: Measure, instruct: Mapping[str, Values]
) -> Regret:
    of_instruct = instruct[quality.id]
    everything = range(len(of_instruct))
    # Every second prompt, because prompts of one kind stand next to each other.
    halves = (everything[::2], everything[1::2])
    admissible = _admissible(points, quality, of_instruct, everything)
    best = _best(admissible, measure, everything)
    ours = chosen.values[measure.id]
    cross_fitted: list[float] = []
    for picking, measuring in (halves, halves[::-1]):
        pick = _best(_admissible(points, quality, of_instruct, picking), measure, picking)
        if pick is not None:
            theirs = pick.values[measure.id]
            both = [(theirs[i], ours[i]) for i in measuring]
            cross_fitted += [x - y for x, y in both if x is not None and y is not None]
    return Regret(
        measure=measure,
        num_admissible=len(admissible),
        chosen_keeps=chosen in admissible,
        best=None if best is None else best.interval,
        regret=None if best is None else estimate_difference(best.values[measure.id], ours),
        cross_fitted=estimate_mean(cross_fitted),
        share=None if best is None else estimate_ratio(ours, best.values[measure.id]),
    )


def _admissible(
    points: Sequence[Point], quality: Measure, instruct: Values, items: Sequence[int]
) -> list[Point]:
    """The intervals whose quality on these items is high enough."""
    least = _mean([instruct[i] for i in items])
    if least is None:
        return []
    means = [(point, _mean([point.values[quality.id][i] for i in items])) for point in points]
    return [point for point, mean in means if mean is not None and mean >= LEAST_QUALITY * least]


def _best(points: Sequence[Point], measure: Measure, items: Sequence[int]) -> Point | None:
    """The interval with the highest mean on these items; of equals the first one, and the chosen one comes first."""
    means = [(point, _mean([point.values[measure.id][i] for i in items])) for point in points]
    defined = [(point, mean) for point, mean in means if mean is not None]
    return max(defined, key=lambda both: both[1])[0] if defined else None


def _mean(values: Sequence[float | None]) -> float | None:
    estimate = estimate_mean(values)
    return None if estimate is None else estimate.mean
