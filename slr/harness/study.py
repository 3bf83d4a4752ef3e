"""lm-eval's scores of one pair: two cells for each model and group of tasks that lm-eval evaluates in one call.

In the first cell the model answers lm-eval's requests. Its answers are written in chunks, so that a stopped run loses
minutes, and several processes can share them. The second cell scores the answers, and needs no model.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
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
from slr.harness.evaluate import (
    HarnessTask,
    TaskScore,
    call_settings,
    groups_of_tasks,
    harness_version,
    scores_of_answers,
)
from slr.harness.report import scores_of_pair
from slr.harness.tasks import TASKS_DIR
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.provenance import installed_version
from slr.runs.records import AnyRecord, CrcSelection, HarnessAnswers, HarnessScore
from slr.runs.results import RecordsByKey, of_kind
from slr.vocabulary import ComparedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slr.harness.requests import AnswersByMethod

COMPARED: tuple[ComparedModel, ...] = tuple(method.model for method in BASELINES)
"""Models that are evaluated."""
SMOKE_DOCUMENTS = 2
"""Number of each task's documents in a smoke run."""
SMOKE_NEW_TOKENS = 8
"""Largest number of new tokens in a smoke run."""
TOKENS_IN_A_CHUNK = 1 << 18
"""Number of tokens that a chunk of answers takes: about 14 s of an 8B model, by the speed of an H100 in ``speed``."""


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
    # The models follow each other in each group, because the group's requests are then built once.
    groups = groups_of_tasks(config.tasks)
    return [
        cell
        for tasks in groups
        for model in COMPARED
        for cell in _cells_of(
            spec, config, model, tasks, name="" if len(groups) == 1 else f"/{tasks[0].name}"
        )
    ]


def _cells_of(
    spec: PairSpec, config: HarnessConfig, model: ComparedModel, tasks: Sequence[HarnessTask], name: str
) -> tuple[Cell, Cell]:
    """The cell in which the model answers the requests of all tasks, and the one that scores the answers."""
    tokens = sum(task.num_tokens for task in tasks)
    answers = Cell(
        key=f"{spec.name}/{model}{name}/answers",
        record_keys=lambda results: _answer_keys(spec, config, tasks, model, results),
        run=lambda context: _answer(context, config, model, tasks),
        cost=Cost(
            layer_evaluations=tokens * (spec.num_layers or 0),
            tokens=tokens,
            flops=None if spec.num_parameters is None else 2.0 * spec.num_parameters * tokens,
        ),
        division="in_parts",
    )
    scores = Cell(
        key=f"{spec.name}/{model}{name}",
        record_keys=lambda results: _keys(spec, tasks, model, results),
        run=lambda context: _score(context, config, model, tasks),
        cost=Cost(layer_evaluations=0, tokens=0, flops=None),
        needs=(answers.key,),
    )
    return answers, scores


def _num_chunks(config: HarnessConfig, tasks: Sequence[HarnessTask]) -> int:
    """Number of chunks of answers. It depends on nothing but the configuration, and so do the answers' last bits."""
    chunks = math.ceil(sum(task.num_tokens for task in tasks) / TOKENS_IN_A_CHUNK)
    return chunks if config.limit is None else min(chunks, config.limit)


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


def _answer_keys(
    spec: PairSpec,
    config: HarnessConfig,
    tasks: Sequence[HarnessTask],
    model: ComparedModel,
    results: RecordsByKey,
) -> list[str] | None:
    scores = _keys(spec, tasks, model, results)
    # Nothing needs the answers when the scores are there. Earlier versions kept none.
    if scores is None or all(key in results for key in scores):
        return scores
    num_chunks = _num_chunks(config, tasks)
    names = [task.name for task in tasks]
    return [HarnessAnswers.key_of(spec.name, model, names, chunk, num_chunks) for chunk in range(num_chunks)]


def _answer(
    context: CellContext, config: HarnessConfig, model_name: ComparedModel, tasks: Sequence[HarnessTask]
) -> Iterator[list[AnyRecord]]:
    """Have the model answer the chunks that are missing, and yield one after the other."""
    from slr.harness.requests import build_requests

    selection = selection_of(context.results, context.spec.name)
    assert selection is not None
    num_chunks = _num_chunks(config, tasks)
    chunks = context.share(range(num_chunks), [1.0] * num_chunks)
    names = tuple(task.name for task in tasks)

    def key_of(chunk: int) -> str:
        return HarnessAnswers.key_of(context.spec.name, model_name, names, chunk, num_chunks)

    missing = [chunk for chunk in chunks if key_of(chunk) not in context.results]
    if not missing:
        return
    model = model_that_ends_as_instruct(context, model_name, selection)
    tokenizer = context.pair.tokenizer
    requests = build_requests(call_settings(tasks, config.limit, config.max_new_tokens), tokenizer)
    answer_chunk = requests.answer(model, tokenizer, config.batch_size)
    for done, chunk in enumerate(missing, start=len(chunks) - len(missing) + 1):
        answers = answer_chunk(chunk, num_chunks)
        _check_numbers(answers, names)
        yield [
            HarnessAnswers(
                **context.header,
                family=context.pair.family,
                model=model_name,
                tasks=names,
                chunk=chunk,
                num_chunks=num_chunks,
                requests=requests.digest(chunk, num_chunks),
                answers={method: tuple(given) for method, given in answers.items()},
            )
        ]
        context.on_progress(done, len(chunks))


def _check_numbers(answers: AnswersByMethod, tasks: Sequence[str]) -> None:
    # An answer is a number, a number with whether it is the greedy one, or a text.
    numbers = [a[0] if isinstance(a, tuple) else a for given in answers.values() for a in given]
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        raise ValueError(
            f"the model gives log-likelihoods that are no numbers in {', '.join(tasks)}: "
            "if its weights are float16, try --dtype bfloat16 or float32"
        )


def _score(
    context: CellContext, config: HarnessConfig, model_name: ComparedModel, tasks: Sequence[HarnessTask]
) -> Iterator[list[AnyRecord]]:
    """Score the answers on record; scores that are there already come out equal, and are not written again.

    Raises:
        ValueError: if the answers are to other requests than lm-eval makes now.
    """
    from slr.harness.requests import build_requests

    spec = context.spec
    requests = build_requests(
        call_settings(tasks, config.limit, config.max_new_tokens), context.pair_on_demand.tokenizer()
    )
    keys = _answer_keys(spec, config, tasks, model_name, context.results) or []
    on_record = of_kind([context.results[key] for key in keys], HarnessAnswers)
    for record in on_record:
        if record.requests != requests.digest(record.chunk, record.num_chunks):
            raise ValueError(
                f"the answers on record are to other requests of {', '.join(record.tasks)} than lm-eval makes now, "
                "so its data set or the chat template has changed: run the experiment in a new --output-dir"
            )
    scores = scores_of_answers(requests, tasks, [record.answers for record in on_record])
    yield _records(context, on_record[0].family, model_name, tasks, scores)


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
    family: str,
    name: ComparedModel,
    tasks: Sequence[HarnessTask],
    scores: Sequence[TaskScore],
) -> list[AnyRecord]:
    selection = selection_of(context.results, context.spec.name)
    assert selection is not None
    interval = interval_of(name, selection)
    method = next(method for method in BASELINES if method.model == name)
    references = available_references(method, BASELINES, selection)
    return [
        HarnessScore(
            **context.header,
            family=family,
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
