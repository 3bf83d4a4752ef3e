"""Spread intervals of one pair on tasks and benchmarks: a cell for instruct and one for each interval, then measures.

Samples and scores come from the machinery of the downstream experiments and of lm-eval's. Only the layers differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slr.crc.choice import chosen_by_search, selection_of
from slr.crc.report import interval_candidates
from slr.crc.selection import Candidate
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.downstream.methods import Method
from slr.downstream.study import DownstreamConfig, measure_samples, sample_prompts, versions_of
from slr.downstream.task import load_task, prompt_ids
from slr.harness.evaluate import HarnessTask, groups_of_tasks, harness_version
from slr.harness.study import HarnessConfig, model_that_ends_as_instruct
from slr.harness.study import versions_of as versions_of_harness
from slr.intervals import LayerInterval
from slr.models.reference import PairSpec
from slr.prediction.report import method_of, prediction_report
from slr.prediction.spread import spread_intervals
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.records import (
    AnyRecord,
    CrcSelection,
    IntervalHarnessScore,
    SampleMeasures,
    Samples,
    SpreadIntervals,
)
from slr.runs.results import RecordsByKey
from slr.tasks.prompts import TaskPrompt

TYPICAL_TOKENS = 40
"""Number of tokens of a prompt or an answer, for cost estimates only."""


@dataclass(frozen=True, kw_only=True)
class PredictionConfig:
    """All that the results depend on, except the pair, the search's scores and choice, and the dtype.

    Attributes:
        num_intervals: number of intervals, the chosen one among them.
        tasks: the tasks, each with its size. Their methods are not used.
        harness: tasks of lm-eval.
    """

    num_intervals: int
    tasks: tuple[DownstreamConfig, ...]
    harness: HarnessConfig

    def shortened(self) -> PredictionConfig:
        """The configuration of a smoke run, which shows in seconds that everything works. Its numbers mean nothing."""
        return PredictionConfig(
            num_intervals=4,
            tasks=tuple(task.shortened() for task in self.tasks),
            harness=self.harness.shortened(),
        )


def prediction_experiment(
    name: str, question: str, config: PredictionConfig, crc: CrcStudyConfig
) -> Experiment[PredictionConfig]:
    """Make the experiment.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        config: the number of intervals, the tasks and their sizes.
        crc: configuration of the search whose scores and choice are used.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        question=question,
        config=config,
        cells=lambda spec: _cells(spec, config),
        job_type="prediction",
        mirror=_mirror,
        builds_on=crc_experiment(crc),
        inputs=lambda results, spec: _inputs(results, spec, config),
        versions=lambda: _versions(config),
        samples_answers=True,
    )


def _inputs(results: RecordsByKey, spec: PairSpec, config: PredictionConfig) -> dict[str, Any]:
    """The search's choice, and the intervals that are spread around it."""
    chosen = chosen_by_search(results, spec)
    return chosen | {"intervals": [c.choice.ends for c in _spread(results, spec.name, config)]}


def _versions(config: PredictionConfig) -> dict[str, str]:
    versions = versions_of_harness(config.harness)
    for task in config.tasks:
        of_task = versions_of(task)
        # Each task has requests of its own.
        versions |= {f"requests of {task.task}": of_task.pop("requests")} | of_task
    return versions


def _spread(
    results: RecordsByKey, pair: str, config: PredictionConfig
) -> tuple[Candidate[LayerInterval], ...]:
    """The intervals, from the search's records."""
    selection = selection_of(results, pair)
    assert selection is not None
    chosen = None if selection.interval is None else LayerInterval(*selection.interval)
    candidates = interval_candidates(list(results.of_pair(pair).values()))
    return spread_intervals(candidates, chosen, config.num_intervals)


def _cells(spec: PairSpec, config: PredictionConfig) -> list[Cell]:
    spread = Cell(
        key=f"{spec.name}/intervals",
        record_keys=lambda _: [SpreadIntervals.key_of(spec.name)],
        run=lambda context: _write_intervals(context, config),
        cost=Cost(layer_evaluations=0, tokens=0, flops=None),
    )
    # The intervals are not known before the search is done, so a cell stands for a place in their order.
    places = range(config.num_intervals + 1)
    cells = [spread, *(_cell(spec, config, place, needs=(spread.key,)) for place in places)]
    # In the testbed texts differ if they are not equal. English ones need functional classes.
    measured = [task for task in config.tasks if task.task == "creative_writing" and task.source != "testbed"]
    if measured:
        cells.append(
            Cell(
                key=f"{spec.name}/measures",
                record_keys=lambda results: _measure_keys(spec, measured, results),
                run=_measure,
                cost=Cost(layer_evaluations=0, tokens=0, flops=None),
                needs=tuple(cell.key for cell in cells),
                division="among_all",
            )
        )
    return cells


def _write_intervals(context: CellContext, config: PredictionConfig) -> Iterator[Sequence[AnyRecord]]:
    selection = selection_of(context.results, context.spec.name)
    assert selection is not None
    spread = _spread(context.results, context.spec.name, config)
    yield [
        SpreadIntervals(
            **context.header,
            chosen=selection.interval,
            intervals=tuple(candidate.choice.ends for candidate in spread),
            validity=tuple(candidate.validity for candidate in spread),
            # An interval without a diversity has no place in the plane.
            diversity=tuple(c.diversity for c in spread if c.diversity is not None),
        )
    ]


def _cell(spec: PairSpec, config: PredictionConfig, place: int, needs: tuple[str, ...]) -> Cell:
    texts = sum(len(_prompt_ids(task)) * (1 + task.num_samples) for task in config.tasks)
    # Each prompt counts as one text more, because it is computed once for all of its samples.
    tokens = texts * TYPICAL_TOKENS + sum(task.num_tokens for task in config.harness.tasks)
    return Cell(
        key=f"{spec.name}/{'instruct' if place == 0 else f'place-{place:02}'}",
        record_keys=lambda results: _keys(spec, config, place, results),
        run=lambda context: _run(context, config, place),
        cost=Cost(
            layer_evaluations=tokens * (spec.num_layers or 0),
            tokens=tokens,
            flops=None if spec.num_parameters is None else 2.0 * spec.num_parameters * tokens,
            sampled_share=0.5,
        ),
        needs=needs,
    )


@dataclass(frozen=True)
class _Place:
    """A model to measure: its method, and the choice by which the method's model is made."""

    method: Method
    selection: CrcSelection

    @property
    def interval(self) -> tuple[int, int] | None:
        return self.selection.interval if self.method.model == "hybrid" else None


def _places(results: RecordsByKey, pair: str) -> list[_Place] | None:
    """The instruct model, then the intervals; None while these are not known."""
    selection = selection_of(results, pair)
    spread = results.find(SpreadIntervals, SpreadIntervals.key_of(pair))
    if selection is None or spread is None:
        return None
    return [
        _Place(Method(id="instruct", model="instruct"), selection),
        *(
            _Place(
                Method(id=method_of(ends), model="hybrid"),
                # To the machinery of the tasks every interval is the chosen one.
                selection.model_copy(update={"interval": ends}),
            )
            for ends in spread.intervals
        ),
    ]


def _keys(spec: PairSpec, config: PredictionConfig, place: int, results: RecordsByKey) -> list[str] | None:
    places = _places(results, spec.name)
    if places is None:
        return None
    if place >= len(places):  # a model of few layers has fewer intervals
        return []
    model = places[place]
    samples = [
        Samples.key_of(spec.name, model.method.id, id_, 0)
        for task in config.tasks
        for id_ in _prompt_ids(task)
    ]
    return samples + _harness_keys(spec.name, model, config.harness.tasks)


def _harness_keys(pair: str, model: _Place, tasks: Sequence[HarnessTask]) -> list[str]:
    return [
        IntervalHarnessScore.key_of(pair, model.interval, task.name, metric)
        for task in tasks
        for metric in task.metrics
    ]


def _prompt_ids(task: DownstreamConfig) -> tuple[str, ...]:
    return prompt_ids(task.task, task.source, task.num_prompts)


def _prompts(task: DownstreamConfig) -> tuple[TaskPrompt, ...]:
    return load_task(task.task, task.source, task.num_prompts)


def _run(context: CellContext, config: PredictionConfig, place: int) -> Iterator[Sequence[AnyRecord]]:
    places = _places(context.results, context.spec.name)
    assert places is not None
    model = places[place]
    # Each task reports its own progress, which says nothing about the cell's.
    quiet = dataclasses.replace(context, on_progress=lambda _done, _total: None)
    parts = len(config.tasks) + 1
    for done, task in enumerate(config.tasks, start=1):
        yield from sample_prompts(quiet, task, model.method, 0, model.selection, _prompts(task))
        context.on_progress(done, parts)
    for tasks in groups_of_tasks(config.harness.tasks):
        keys = _harness_keys(context.spec.name, model, tasks)
        if not all(key in context.results for key in keys):
            yield _harness_scores(context, config.harness, tasks, model)


def _harness_scores(
    context: CellContext, config: HarnessConfig, tasks: Sequence[HarnessTask], model: _Place
) -> list[AnyRecord]:
    from slr.harness.evaluate import evaluate

    scores = evaluate(
        model_that_ends_as_instruct(context, model.method.model, model.selection),
        context.pair.tokenizer,
        tasks,
        batch_size=config.batch_size,
        limit=config.limit,
        max_new_tokens=config.max_new_tokens,
    )
    return [
        IntervalHarnessScore(
            **context.header,
            interval=model.interval,
            task=score.task,
            task_version=score.version,
            num_fewshot=score.num_fewshot,
            metric=score.metric,
            value=score.value,
            document_scores=score.document_scores,
            harness_version=harness_version(),
        )
        for score in scores
    ]


def _measure_keys(
    spec: PairSpec, tasks: Sequence[DownstreamConfig], results: RecordsByKey
) -> list[str] | None:
    places = _places(results, spec.name)
    if places is None:
        return None
    return [
        SampleMeasures.key_of(Samples.key_of(spec.name, model.method.id, prompt.id, 0))
        for model in places
        for task in tasks
        for prompt in _prompts(task)
    ]


def _measure(context: CellContext) -> Iterator[Sequence[AnyRecord]]:
    """Find the functional classes of English texts, which say which of them are different."""
    records = [
        record
        for record in context.results.of_pair(context.spec.name).of_kind(Samples)
        if record.task == "creative_writing" and SampleMeasures.key_of(record.key) not in context.results
    ]
    # Fluency is no part of a primary metric, so no other model has to be loaded.
    yield from measure_samples(context, records, None)


def _mirror(records: Sequence[AnyRecord], pair: str) -> RunMirror:
    """Spearman's correlations, and a table of every interval."""
    report = prediction_report(records, pair)
    summary: dict[str, Any] = {}
    for of in report.correlations:
        summary[f"{of.measure.id}/spearman_with_{of.crc}"] = of.spearman.mean if of.spearman else None
    for of in report.regrets:
        summary[f"{of.measure.id}/regret"] = of.regret.mean if of.regret else None
    columns = ["layers", "CRC validity", "CRC diversity", *(m.label for m in report.measures)]
    rows: list[list[Any]] = [
        [
            str(point.interval),
            point.validity,
            point.diversity,
            *(mean.mean if (mean := point.means[m.id]) else None for m in report.measures),
        ]
        for point in report.points
    ]
    return RunMirror(summary=summary, tables={"intervals": (columns, rows)})
