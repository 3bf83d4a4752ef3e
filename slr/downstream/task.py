"""What a task is: requests, how a base model is shown what to do, and the metrics of the answers.

The tasks of slr and of other packages are registered in one way; see ``slr.plugins``. A name stands for a task in
configurations and records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from slr.chat.few_shot import FewShotDocument
from slr.downstream.metric import Metric
from slr.downstream.writing_lengths import NO_LENGTHS, WritingLengths
from slr.plugins import Plugin, load_plugin
from slr.runs.own_run import SamplingSizes
from slr.runs.records import Samples
from slr.tasks.prompts import TaskPrompt
from slr.vocabulary import Source

TaskKind = Literal["answers", "writing", "problems"]
"""What the answers are, and so what is done with them.

- answers: short texts.
- writing: longer texts. They are embedded, and compared at equal lengths; each genre is a group of its own.
- problems: numbers. The instruct model's greedy answer sorts the problems into solved and failed ones.
"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kind of requests, and how their answers are measured.

    Attributes:
        prompts: gives the first prompts of a source. Of writing, it gives this number of each genre.
        metrics: gives the metrics, the primary one first, for a source, a number of samples of each prompt, and the
            lengths of writing.
        kind: what the answers are.
        ids: gives the ids of the prompts where they are known without a download; None to take the prompts' own.
        few_shot: gives the worked examples of a source, for a base model outside its chat template; None for none.
        curve: name and function of a curve over the number of samples; None for none.
        revisions: by source, the revision that stands for prompts that have to be downloaded.
        sizes: sizes of the experiment that are not as in each preset's open questions.
    """

    prompts: Callable[[Source, int], Sequence[TaskPrompt]]
    metrics: Callable[[Source, int, WritingLengths], Sequence[Metric]]
    kind: TaskKind = "answers"
    ids: Callable[[Source, int], Sequence[str]] | None = None
    few_shot: Callable[[Source], FewShotDocument] | None = None
    curve: tuple[str, Callable[[Samples], Sequence[float]]] | None = None
    revisions: Mapping[Source, str] = field(default_factory=dict)
    sizes: SamplingSizes = field(default_factory=SamplingSizes)


def find_task(name: str) -> Plugin[Task]:
    """Load a task by its name.

    Raises:
        ValueError: if there is none, or it cannot be used.
    """
    return load_plugin("slr.tasks", name, Task)


def load_task(name: str, source: Source, count: int) -> tuple[TaskPrompt, ...]:
    """Load the first prompts of a task.

    Args:
        name: name of the task.
        source: where the prompts come from.
        count: number of prompts: of each genre, of questions, or of problems.

    Raises:
        ValueError: if there is no such task, or two of its prompts have one id.
    """
    prompts = tuple(find_task(name).value.prompts(source, count))
    if not prompts or len({prompt.id for prompt in prompts}) < len(prompts):
        raise ValueError(
            f"the task {name!r} has {len(prompts)} prompts of the source {source}, expected at least one, each with "
            "an id of its own"
        )
    return prompts


def prompt_ids(name: str, source: Source, count: int) -> tuple[str, ...]:
    """The ids of the prompts that ``load_task`` loads, without a download if the task knows them.

    Args:
        name: name of the task.
        source: where the prompts come from.
        count: number of prompts, as for ``load_task``.
    """
    ids = find_task(name).value.ids
    return tuple(ids(source, count)) if ids else tuple(p.id for p in load_task(name, source, count))


def document_of(name: str, source: Source) -> FewShotDocument:
    """The document in which a base model is asked a task's requests.

    Args:
        name: name of the task.
        source: where the prompts come from.

    Raises:
        ValueError: if the task has no worked examples.
    """
    few_shot = find_task(name).value.few_shot
    if few_shot is None:
        raise ValueError(
            f"the task {name!r} has no worked examples: give the task some, or leave out the methods that ask a base "
            "model in a document"
        )
    return few_shot(source)


def metrics_of(
    name: str, source: Source, num_samples: int, lengths: WritingLengths = NO_LENGTHS
) -> tuple[Metric, ...]:
    """The metrics of a task.

    Args:
        name: name of the task.
        source: origin of the prompts, which decides how the quality of a text is measured.
        num_samples: number of samples of each prompt.
        lengths: the lengths that metrics of writing depend on.

    Returns:
        The metrics, in the order of the tables: the primary one first.
    """
    metrics = find_task(name).value.metrics(source, num_samples, lengths)
    return tuple(replace(metric, is_primary=place == 0) for place, metric in enumerate(metrics))
