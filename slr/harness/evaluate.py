"""Scores by lm-evaluation-harness of models that are in memory; no checkpoint is written for it.

A task is one of lm-eval's own, by its name there, or one of ``slr/harness/tasks``. Seeds, prompts and metrics are
those of lm-eval's command line, which gives the same numbers for the same model as a checkpoint. lm-eval is
imported when it is first needed, for that takes seconds.

Source: Gao et al., "A framework for few-shot language model evaluation" (zenodo.org/records/12608602).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from slr.harness.tasks import TASKS_DIR

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PYTHON_SEED = 0
OTHER_SEEDS = 1234
"""What the command line uses by default: of Python's generator; of numpy's, torch's and the few-shot examples'."""


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task or group of tasks by its name in lm-eval, and what of its results is kept.

    ``metrics`` are written as lm-eval writes them in its results: the metric, a comma, and the filter that read
    the answer. ``chat_template`` is whether prompts go through the tokenizer's. ``num_tokens`` is about how many
    one model reads and writes for it, for cost estimates only.
    """

    name: str
    metrics: tuple[str, ...]
    num_fewshot: int
    chat_template: bool
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One metric of one task: lm-eval's value and standard error, and the score of each document in order."""

    task: str
    version: str
    num_fewshot: int
    metric: str
    value: float
    standard_error: float | None
    document_scores: tuple[float, ...]


def harness_version() -> str:
    """Of the installed lm-eval."""
    return metadata.version("lm_eval")


def groups_of_tasks(tasks: Sequence[HarnessTask]) -> list[list[HarnessTask]]:
    """Tasks that one call of lm-eval can evaluate, for it has one number of examples and one template setting."""
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
    """Every metric of every task, in order; a second call gives equal scores.

    Args:
        model: on its device. Its generation configuration says which tokens end an answer.
        tokenizer: renders and encodes the prompts.
        tasks: with the same number of examples and template setting, see ``groups_of_tasks``.
        batch_size: of documents; the last bits of the results depend on it.
        limit: only the first documents of each task.
        max_new_tokens: in place of each task's own number.

    Raises:
        ValueError: if the tasks have different settings, or lm-eval does not have a metric that is asked for.
        Exception: what lm-eval or ``datasets`` raise if a task or its data set is not to be had.
    """
    if len(groups_of_tasks(tasks)) != 1:
        settings = ", ".join(f"{t.name} ({t.num_fewshot}-shot, template {t.chat_template})" for t in tasks)
        raise ValueError(
            "tasks that are evaluated together need the same number of examples and the same template setting: "
            f"got {settings or 'none'}"
        )
    with _quiet():
        results = _run(model, tokenizer, tasks, batch_size, limit, max_new_tokens)
    return [_score(results, task, metric) for task in tasks for metric in task.metrics]


def _run(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[HarnessTask],
    batch_size: int,
    limit: int | None,
    max_new_tokens: int | None,
) -> dict[str, Any]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    from slr.chat.rendering import CHAT_TEMPLATE_OPTIONS

    # Decorators hide from type checkers what these two take.
    wrap: Any = HFLM
    simple_evaluate: Any = lm_eval.simple_evaluate
    in_memory = wrap(
        pretrained=model,
        tokenizer=copy.deepcopy(tokenizer),  # which lm-eval gives a padding token if it has none
        batch_size=batch_size,
        chat_template_args=CHAT_TEMPLATE_OPTIONS,
    )
    return simple_evaluate(
        in_memory,
        tasks=[task.name for task in tasks],
        num_fewshot=tasks[0].num_fewshot,
        limit=limit,
        apply_chat_template=tasks[0].chat_template,
        fewshot_as_multiturn=tasks[0].chat_template,
        gen_kwargs=None if max_new_tokens is None else {"max_gen_toks": max_new_tokens},
        task_manager=_task_manager(
            are_ours=all((TASKS_DIR / f"{task.name}.yaml").exists() for task in tasks)
        ),
        random_seed=PYTHON_SEED,
        numpy_random_seed=OTHER_SEEDS,
        torch_random_seed=OTHER_SEEDS,
        fewshot_random_seed=OTHER_SEEDS,
    )


@cache
def _task_manager(are_ours: bool) -> TaskManager:
    """What finds tasks by name; to list lm-eval's own takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS_DIR), include_defaults=not are_ours)


def _score(results: dict[str, Any], task: HarnessTask, metric: str) -> TaskScore:
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
    """The tasks that a group consists of, at any depth; a task itself."""
    if name in results["samples"]:
        return [name]
    return [task for part in results["group_subtasks"][name] for task in _parts(results, part)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lm-eval's bars, its warnings that a model is in memory, and git's complaint of no repository."""
    import lm_eval.api.model
    import lm_eval.api.task
    import lm_eval.models.huggingface
    from lm_eval import evaluator

    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with ExitStack() as patches:
            # Only some of the bars can be turned off by an option.
            for module in (lm_eval.api.model, lm_eval.api.task, lm_eval.models.huggingface):
                patches.enter_context(patch.object(module, "tqdm", _hidden(module.tqdm)))
            # The commit that lm-eval looks for would be that of the working directory.
            patches.enter_context(patch.object(evaluator, "get_git_commit_hash", lambda: None))
            yield
    finally:
        log.setLevel(level)


def _hidden(make_bar: Callable[..., Any]) -> Callable[..., Any]:
    """What makes the same bar, but shows none."""
    return lambda *arguments, **options: make_bar(*arguments, **{**options, "disable": True})
