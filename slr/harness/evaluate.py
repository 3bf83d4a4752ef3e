"""Scores by lm-evaluation-harness of models in memory, without a checkpoint on disk.

A task is either lm-eval's own, by its name there, or one of ``slr/harness/tasks``. Seeds, prompts and metrics are as on
lm-eval's command line, where the same model as a checkpoint gets the same numbers. lm-eval is imported only when it is
needed, because that takes seconds.

Source: Gao et al., "A framework for few-shot language model evaluation" (zenodo.org/records/12608602).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from slr.harness.requests import AnswersByMethod, BuiltRequests, CallSettings


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task or group of tasks of lm-eval, and which of its results are kept.

    Attributes:
        name: name of the task in lm-eval.
        metrics: the metrics as lm-eval's results name them: metric, comma, and the filter that read the answer.
        num_fewshot: number of worked examples in each prompt.
        chat_template: whether the tokenizer's chat template renders the prompts.
        num_tokens: rough number of tokens that one model reads and writes, for cost estimates only.
    """

    name: str
    metrics: tuple[str, ...]
    num_fewshot: int
    chat_template: bool
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One metric of one task.

    Attributes:
        task: name of the task in lm-eval.
        version: lm-eval's version of the task.
        num_fewshot: number of worked examples in each prompt.
        metric: metric, comma, and the filter that read the answer.
        value: lm-eval's value.
        standard_error: lm-eval's standard error; None where it gives none.
        document_scores: score of each document, in the task's order.
    """

    task: str
    version: str
    num_fewshot: int
    metric: str
    value: float
    standard_error: float | None
    document_scores: tuple[float, ...]


def harness_version() -> str:
    """The version of the installed lm-eval."""
    return metadata.version("lm_eval")


def groups_of_tasks(tasks: Sequence[HarnessTask]) -> list[list[HarnessTask]]:
    """Group tasks that share the number of examples and the template setting: one call of lm-eval takes one of each."""
    groups: dict[tuple[int, bool], list[HarnessTask]] = {}
    for task in tasks:
        groups.setdefault((task.num_fewshot, task.chat_template), []).append(task)
    return list(groups.values())


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[HarnessTask],
    *,
    batch_size: int,
    limit: int | None = None,
    max_new_tokens: int | None = None,
) -> list[TaskScore]:
    """Compute every metric of every task, in order. A second call gives equal scores.

    Args:
        model: the model, on its device. Its generation configuration says which tokens end an answer.
        tokenizer: renders and encodes the prompts.
        tasks: tasks with one number of examples and one template setting; see ``groups_of_tasks``.
        batch_size: number of documents in a batch. The last bits of the results depend on it.
        limit: number of documents of each task, the first ones; None for all.
        max_new_tokens: largest number of new tokens; None for each task's own.

    Returns:
        One score for each metric of each task.

    Raises:
        ValueError: if the tasks have different settings, or if lm-eval does not have a metric that is asked for.
        Exception: any error of lm-eval or ``datasets``, if a task or its data set is not available.
    """
    if len(groups_of_tasks(tasks)) != 1:
        settings = ", ".join(f"{t.name} ({t.num_fewshot}-shot, template {t.chat_template})" for t in tasks)
        raise ValueError(
            "tasks that are evaluated together need the same number of examples and the same template setting: "
            f"got {settings or 'none'}"
        )
    from slr.harness.requests import build_requests

    requests = build_requests(call_settings(tasks, limit, max_new_tokens), tokenizer)
    answers = requests.answer(model, tokenizer, batch_size)(0, 1)
    return scores_of_answers(requests, tasks, [answers])


def call_settings(
    tasks: Sequence[HarnessTask], limit: int | None, max_new_tokens: int | None
) -> CallSettings:
    """The settings of the one call of lm-eval for these tasks.

    Args:
        tasks: tasks with one number of examples and one template setting.
        limit: number of documents of each task, the first ones; None for all.
        max_new_tokens: largest number of new tokens; None for each task's own.
    """
    from slr.harness.requests import CallSettings

    return CallSettings(
        tasks=tuple(task.name for task in tasks),
        num_fewshot=tasks[0].num_fewshot,
        chat_template=tasks[0].chat_template,
        limit=limit,
        max_new_tokens=max_new_tokens,
    )


def scores_of_answers(
    requests: BuiltRequests, tasks: Sequence[HarnessTask], chunks: Sequence[AnswersByMethod]
) -> list[TaskScore]:
    """Compute every metric of every task, in order, from the answers of all chunks.

    Args:
        requests: the requests of the tasks.
        tasks: the tasks.
        chunks: the answers of every chunk, in order.

    Raises:
        ValueError: if lm-eval does not have a metric that is asked for.
    """
    results = requests.score(chunks)
    return [_score(results, task, metric) for task in tasks for metric in task.metrics]


def _score(results: dict[str, Any], task: HarnessTask, metric: str) -> TaskScore:
    # A task's results hold every metric under every filter, with its standard error under a name of its own.
    found = results["results"][task.name]
    if metric not in found:
        known = ", ".join(sorted(name for name in found if "," in name and "_stderr," not in name))
        raise ValueError(f"lm-eval's task {task.name} has no metric {metric!r}: expected one of {known}")
    name, filter_name = metric.split(",")
    error = found.get(f"{name}_stderr,{filter_name}")
    parts = _parts(results, task.name)
    (num_fewshot,) = {results["n-shot"][part] for part in parts}
    return TaskScore(
        task=task.name,
        version=str(results["versions"][task.name]),
        num_fewshot=num_fewshot,
        metric=metric,
        value=float(found[metric]),
        standard_error=None if error in (None, "N/A") else float(error),
        document_scores=tuple(
            float(sample[name])
            for part in parts
            for sample in results["samples"][part]
            if sample["filter"] == filter_name
        ),
    )


def _parts(results: dict[str, Any], name: str) -> list[str]:
    """The tasks of which a group consists, at any depth; for a task, the task itself."""
    if name in results["samples"]:
        return [name]
    return [task for part in results["group_subtasks"][name] for task in _parts(results, part)]
