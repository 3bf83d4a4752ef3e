"""Metrics of other packages: a cell for each measures the samples, and its records keep the values.

Tables, contrasts and W&B show the values from the records, without the package. A newer version of a package measures
again, and its values count from then on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

from slr.downstream.metric import Metric, MetricId
from slr.downstream.study import RECORDS_MEASURED_TOGETHER, DownstreamConfig
from slr.models.reference import PairSpec
from slr.plugins import Plugin, load_plugin
from slr.runs.experiment import AnyExperiment, Cell, CellContext, Cost
from slr.runs.records import AddedMetric, AnyRecord, SampleMeasures, Samples
from slr.runs.results import RecordsByKey


def with_metrics(experiments: Sequence[AnyExperiment], names: Sequence[str]) -> list[AnyExperiment]:
    """Have experiments measure their samples by metrics of other packages too.

    Args:
        experiments: the experiments; one that keeps no samples stays as it is.
        names: names of the metrics; none changes nothing.

    Raises:
        ValueError: if a metric is not known, is slr's own or cannot be used, or no experiment keeps samples.
    """
    for name in names:
        if name in get_args(MetricId):
            raise ValueError(
                f"slr has a metric {name!r} itself, which the tables show: leave it out, or rename the other package's"
            )
    metrics = [load_plugin("slr.metrics", name, Metric) for name in names]
    if metrics and not any(isinstance(each.config, DownstreamConfig) for each in experiments):
        raise ValueError(
            "--metrics is for experiments that keep samples, such as open_qa: leave it out, or run one of them"
        )
    return [
        _with_metrics(each, metrics) if isinstance(each.config, DownstreamConfig) else each
        for each in experiments
    ]


def _with_metrics(experiment: AnyExperiment, metrics: Sequence[Plugin[Metric]]) -> AnyExperiment:
    def cells(spec: PairSpec) -> list[Cell]:
        own = experiment.cells(spec)
        return [*own, *(_cell(spec, own, metric) for metric in metrics)]

    return replace(experiment, cells=cells)


def _cell(spec: PairSpec, own: Sequence[Cell], metric: Plugin[Metric]) -> Cell:
    def record_keys(results: RecordsByKey) -> list[str] | None:
        # Before the other cells are done, it is not known which samples there will be.
        if not all(cell.is_done(results) for cell in own):
            return None
        samples = results.of_pair(spec.name).of_kind(Samples)
        return [AddedMetric.key_of(record.key, metric.name, metric.package) for record in samples]

    return Cell(
        key=f"{spec.name}/metric/{metric.name}",
        record_keys=record_keys,
        run=lambda context: _measure(context, metric),
        cost=Cost(layer_evaluations=0, tokens=0, flops=None),
        needs=tuple(cell.key for cell in own),
    )


def _measure(context: CellContext, metric: Plugin[Metric]) -> Iterator[list[AnyRecord]]:
    of_pair = context.results.of_pair(context.spec.name)
    measures = {record.samples: record for record in of_pair.of_kind(SampleMeasures)}
    missing = [
        record
        for record in of_pair.of_kind(Samples)
        if AddedMetric.key_of(record.key, metric.name, metric.package) not in of_pair
    ]
    for first in range(0, len(missing), RECORDS_MEASURED_TOGETHER):
        yield [
            AddedMetric(
                **context.header,
                samples=record.key,
                metric=metric.name,
                label=metric.value.label,
                aspect=metric.value.aspect,
                package=metric.package,
                value=_value(metric, record, measures.get(record.key)),
            )
            for record in missing[first : first + RECORDS_MEASURED_TOGETHER]
        ]
        context.on_progress(min(first + RECORDS_MEASURED_TOGETHER, len(missing)), len(missing))


def _value(metric: Plugin[Metric], samples: Samples, measures: SampleMeasures | None) -> float | None:
    problem = f"the metric {metric.name!r} of the package {metric.package}"
    advice = "repair or update the package, or leave the metric out"
    try:
        value: Any = metric.value.of(samples, measures)
        value = None if value is None else float(value)
    # The package's code may fail in any way.
    except Exception as error:
        raise ValueError(
            f"{problem} failed on {samples.key} ({type(error).__name__}: {error}): {advice}"
        ) from error
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{problem} is {value} on {samples.key}, expected a finite number or None: {advice}")
    return value
