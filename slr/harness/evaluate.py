"""Scores by lm-evaluation-harness of models in memory, without a checkpoint on disk.

A task is either lm-eval's own, by its name there, or one of ``slr/harness/tasks``. Seeds, prompts and metrics are as on
lm-eval's command line, where the same model as a checkpoint gets the same numbers. lm-eval is imported only when it is
needed, because that takes seconds.

Source: Gao et al., "A framework for few-shot language model evaluation" (zenodo.org/records/12608602).
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Generator, Sequence
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
"""Seed of Python's generator; lm-eval's default on the command line."""
OTHER_SEEDS = 1234
"""Seed of numpy's and torch's generators and of the few-shot examples; lm-eval's default on the command line."""


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
        tokenizer=copy.deepcopy(tokenizer),  # lm-eval changes it: it adds a padding token if there is none
        batch_size=batch_size,
        chat_template_args=CHAT_TEMPLATE_OPTIONS,
    )
    return simple_evaluate(
        in_memory,
        tasks=[task.name for task in tasks],
        num_fewshot=tasks[0].num_fewshot,
        limit=limit,
        apply_chat_template=tasks[0].chat_template,
        # In a chat the worked examples are earlier turns, as the models were trained.
        fewshot_as_multiturn=tasks[0].chat_template,
        gen_kwargs=None if max_new_tokens is None else {"max_gen_toks": max_new_tokens},
        task_manager=_task_manager(
            are_ours=all((TASKS_DIR / f"{task.name}.yaml").exists() for task in tasks)
            # Listing lm-eval's own tasks takes seconds, so it happens only if one of them is asked for.
        ),
        random_seed=PYTHON_SEED,
        numpy_random_seed=OTHER_SEEDS,
        torch_random_seed=OTHER_SEEDS,
        fewshot_random_seed=OTHER_SEEDS,
    )


@cache
def _task_manager(are_ours: bool) -> TaskManager:
    """Make what finds tasks by name."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS_DIR), include_defaults=not are_ours)


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


@contextmanager
def _quiet() -> Generator[None]:
    """Hide lm-eval's progress bars, its warnings that a model is in memory, and what it takes from its surroundings."""
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
            # lm-eval would look for the commit of the working directory, which says nothing about the code.
            patches.enter_context(patch.object(evaluator, "get_git_commit_hash", lambda: None))
            # It would also start a dozen programs to describe the machine, and nobody reads their answers.
            patches.enter_context(patch.object(evaluator, "add_env_info", lambda _results: None))
            # In a second process lm-eval would give no results, because it takes all processes for parts of one model.
            patches.enter_context(patch.dict(os.environ, {"LOCAL_RANK": "0"}))
            yield
    finally:
        log.setLevel(level)


def _hidden(make_bar: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes the same progress bar, but hidden."""
    return lambda *arguments, **options: make_bar(*arguments, **{**options, "disable": True})
