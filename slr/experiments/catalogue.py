"""The experiments that a name stands for, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slr.downstream.added_metrics import with_metrics
from slr.downstream.methods import BASELINES, TASK_METHODS
from slr.downstream.task import find_task
from slr.experiments import (
    ALL,
    canonicalise,
    crc_search,
    creative_writing,
    decoding_methods,
    judge,
    localisation,
    mechanism,
    open_qa,
    prediction,
    prompting_methods,
    quality,
    reasoning,
    restoration_controls,
    stability,
)
from slr.experiments.declaring import MakeExperiment, downstream
from slr.runs.experiment import AnyExperiment
from slr.runs.own_run import PRESET_SIZES, Sizes

MAKERS: dict[str, MakeExperiment] = {
    "crc_search": crc_search.experiment,
    "localisation": localisation.experiment,
    "stability": stability.experiment,
    "creative_writing": creative_writing.experiment,
    "open_qa": open_qa.experiment,
    "reasoning": reasoning.experiment,
    "restoration_controls": restoration_controls.experiment,
    "decoding_methods": decoding_methods.experiment,
    "prompting_methods": prompting_methods.experiment,
    "quality": quality.experiment,
    "mechanism": mechanism.experiment,
    "prediction": prediction.experiment,
}
"""The experiments that need no chat endpoint."""


def chosen_experiments(
    name: str, preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES, metrics: Sequence[str] = ()
) -> list[AnyExperiment]:
    """Make the experiments that a name stands for, each after the one that it builds on.

    Args:
        name: one of ``slr.experiments.NAMES``, a task, or ``all``.
        preset: name of the preset, which sets the experiments' size.
        smoke: whether to make the smoke size instead.
        sizes: sizes that differ from the preset's.
        metrics: names of metrics of other packages that measure the samples too.

    Returns:
        The experiments, without repeats.

    Raises:
        ValueError: if one of them asks a chat endpoint that the environment does not describe well, or a task or
            a metric cannot be used.
    """
    made: dict[str, AnyExperiment] = {}
    for make in _makers(name):
        experiment = make(preset, smoke, sizes)
        chain = [experiment]
        # Only missing cells run, so an earlier experiment that is done costs nothing.
        while (earlier := chain[0].builds_on) is not None:
            chain.insert(0, earlier)
        for member in chain:
            made.setdefault(member.name, member)
    return with_metrics(list(made.values()), metrics)


def by_endpoints() -> list[MakeExperiment]:
    """The experiments that ask a chat endpoint, if the environment describes one."""
    return [*judge.configured(), *canonicalise.configured()]


def _makers(name: str) -> list[MakeExperiment]:
    if name == ALL:
        return [*MAKERS.values(), *by_endpoints()]
    if name == "judge":
        # Without a judge, making the experiment fails with an error that says what to set.
        return judge.configured() or [judge.experiment]
    if name == "canonicalise":
        return [canonicalise.experiment]
    return [MAKERS[name] if name in MAKERS else _on_task(name)]


def _on_task(name: str) -> MakeExperiment:
    """The experiment on a task without a module here. A size that the task does not give is as in open questions."""
    task = find_task(name).value
    methods = BASELINES if task.few_shot is None else TASK_METHODS
    configs = {
        preset: task.sizes.applied(replace(config, task=name, methods=methods))
        for preset, config in open_qa.CONFIGS.items()
    }
    return downstream(name, f"Are the hybrid's answers to {name} more diverse, and as good?", configs)
