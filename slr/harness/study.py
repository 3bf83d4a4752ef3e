"""lm-eval's scores of one pair: one cell for each model and group of tasks that lm-eval evaluates in one call."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slr.crc.choice import chosen_by_search, selection_of
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.downstream.methods import (
    BASELINES,
    available_references,
    interval_of,
    is_available,
    make_model,
)
from slr.harness.evaluate import HarnessTask, evaluate, groups_of_tasks, harness_version
from slr.harness.report import scores_of_pair
from slr.harness.tasks import TASKS_DIR
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.provenance import installed_version
from slr.runs.records import AnyRecord, CrcSelection, HarnessScore
from slr.runs.results import RecordsByKey, of_kind
from slr.vocabulary import ComparedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPARED: tuple[ComparedModel, ...] = tuple(method.model for method in BASELINES)
"""Models that are evaluated."""
SMOKE_DOCUMENTS = 2
"""Number of each task's documents in a smoke run."""
SMOKE_NEW_TOKENS = 8
"""Largest number of new tokens in a smoke run."""


@dataclass(frozen=True, kw_only=True)
class HarnessConfig:
    """All that the scores depend on, except the pair, the search's choice and the dtype.

    Attributes:
        tasks: the tasks.
        batch_size: number of documents in a batch.
        limit: number of each task's documents, the first ones; None for all.
        max_new_tokens: largest number of new tokens; None for each task's own.
    """

    tasks: tuple[HarnessTask, ...]
    batch_size: int
    limit: int | None = None
    max_new_tokens: int | None = None

    def shortened(self) -> HarnessConfig:
        """The configuration of a smoke run, which shows in seconds that everything works. Its numbers mean nothing."""
        return dataclasses.replace(self, limit=SMOKE_DOCUMENTS, max_new_tokens=SMOKE_NEW_TOKENS)


def harness_experiment(
    name: str, question: str, config: HarnessConfig, crc: CrcStudyConfig
) -> Experiment[HarnessConfig]:
    """Make an experiment that evaluates base, instruct, hybrid and soup on benchmarks.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        config: the tasks and their size.
        crc: configuration of the search whose choice is used.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        question=question,
        config=config,
        cells=lambda spec: _cells(spec, config),
        job_type="quality",
        mirror=_mirror,
        builds_on=crc_experiment(crc),
        inputs=chosen_by_search,
        versions=lambda: versions_of(config),
    )


def versions_of(config: HarnessConfig) -> dict[str, str]:
    """Versions of lm-eval, and of the documents of tasks that ship with the package."""
    versions = {"lm-evaluation-harness": installed_version("lm_eval") or "none"}
    files = [TASKS_DIR / f"{task.name}{suffix}" for task in config.tasks for suffix in (".yaml", ".jsonl")]
    if ours := [path.read_bytes() for path in files if path.is_file()]:
        versions["shipped documents"] = hashlib.sha256(b"\0".join(ours)).hexdigest()[:12]
    return versions


def _cells(spec: PairSpec, config: HarnessConfig) -> list[Cell]:
    # Several processes share the benchmarks, because all of them together take one process an hour a model.
    groups = groups_of_tasks(config.tasks)
    return [
        _cell(spec, config, model, tasks, name="" if len(groups) == 1 else f"/{tasks[0].name}")
        for model in COMPARED
        for tasks in groups
    ]


def _cell(
    spec: PairSpec, config: HarnessConfig, model: ComparedModel, tasks: Sequence[HarnessTask], name: str
) -> Cell:
    tokens = sum(task.num_tokens for task in tasks)
    return Cell(
        key=f"{spec.name}/{model}{name}",
        record_keys=lambda results: _keys(spec, tasks, model, results),
        run=lambda context: _evaluate(context, config, model, tasks),
        cost=Cost(
            layer_evaluations=tokens * (spec.num_layers or 0),
            tokens=tokens,
            flops=None if spec.num_parameters is None else 2.0 * spec.num_parameters * tokens,
        ),
    )


def _keys(
    spec: PairSpec, tasks: Sequence[HarnessTask], model: ComparedModel, results: RecordsByKey
) -> list[str] | None:
    selection = selection_of(results, spec.name)
    if selection is None:
        return None
    if not is_available(model, selection):
        return []
    return [
        HarnessScore.key_of(spec.name, model, task.name, metric) for task in tasks for metric in task.metrics
    ]


def _evaluate(
    context: CellContext, config: HarnessConfig, model_name: ComparedModel, tasks: Sequence[HarnessTask]
) -> Iterator[list[AnyRecord]]:
    selection = selection_of(context.results, context.spec.name)
    assert selection is not None
    model = model_that_ends_as_instruct(context, model_name, selection)
    # Records of the group that are there already come out equal, and are not written again.
    yield _records(context, config, model_name, model, selection, tasks)


def model_that_ends_as_instruct(
    context: CellContext, name: ComparedModel, selection: CrcSelection
) -> PreTrainedModel:
    """Make the model, with the instruct model's generation settings and the tokens that end its answers.

    A base model's own settings do not know the end of a turn. Even an instruct model's may lack some of these tokens.

    Args:
        context: the running cell.
        name: kind of model.
        selection: the choice that says which layers it restores.
    """
    from slr.hybrid import shallow_copy
    from slr.sampling.generation import end_tokens_of

    pair = context.pair
    # A copy that shares all tensors, so that the pair's own model keeps its settings.
    model = shallow_copy(make_model(pair, name, selection))
    model.generation_config = copy.deepcopy(pair.instruct_model.generation_config)
    assert model.generation_config is not None
    model.generation_config.eos_token_id = end_tokens_of(pair.instruct_model, pair.tokenizer)
    return model


def _records(
    context: CellContext,
    config: HarnessConfig,
    name: ComparedModel,
    model: PreTrainedModel,
    selection: CrcSelection,
    tasks: Sequence[HarnessTask],
) -> list[AnyRecord]:
    scores = evaluate(
        model,
        context.pair.tokenizer,
        tasks,
        batch_size=config.batch_size,
        limit=config.limit,
        max_new_tokens=config.max_new_tokens,
    )
    interval = interval_of(name, selection)
    method = next(method for method in BASELINES if method.model == name)
    references = available_references(method, BASELINES, selection)
    return [
        HarnessScore(
            **context.header,
            family=context.pair.family,
            model=name,
            references=references,
            interval=None if interval is None else interval.ends,
            alpha=selection.soup_alpha if name == "soup" else None,
            task=score.task,
            task_version=score.version,
            num_fewshot=score.num_fewshot,
            chat_template=tasks[0].chat_template,
            metric=score.metric,
            value=score.value,
            standard_error=score.standard_error,
            document_scores=score.document_scores,
            harness_version=harness_version(),
        )
        for score in scores
    ]


def _mirror(records: Sequence[AnyRecord], pair: str) -> RunMirror:
    """Scores and standard errors as lm-eval gives them."""
    scores = of_kind(records, HarnessScore)
    summary: dict[str, Any] = {}
    for score in scores:
        name = f"{score.task}/{score.model}/{score.metric}"
        summary |= {name: score.value, f"{name}_standard_error": score.standard_error}
    rows: list[list[Any]] = [
        [
            score.model,
            score.task,
            score.metric,
            score.value,
            score.standard_error,
            score.num_fewshot,
            len(score.document_scores),
            score.task_version,
            score.harness_version,
        ]
        for score in scores_of_pair(records, pair)
    ]
    columns = [
        "model",
        "task",
        "metric",
        "score",
        "standard error",
        "examples",
        "documents",
    ]
    return RunMirror(summary=summary, tables={"scores": ([*columns, "task version", "lm-eval"], rows)})
