"""The way to declare an experiment: a function that makes it, at the size of a preset or at smoke size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import AnyExperiment, Experiment

MakeExperiment = Callable[[str, bool], AnyExperiment]
"""Makes an experiment from the name of a preset and whether it has its smoke size."""


def question_in(description: str | None) -> str:
    """The question of an experiment: the first line of its module's docstring."""
    assert description is not None
    return description.splitlines()[0]


def downstream(
    name: str, description: str | None, configs: Mapping[str, DownstreamConfig]
) -> Callable[[str, bool], Experiment[DownstreamConfig]]:
    """Declare an experiment that samples answers of the models that the search chose.

    Args:
        name: name of the experiment and of its file of records.
        description: docstring of the module that declares it.
        configs: configuration by preset.

    Returns:
        The function that makes the experiment.
    """

    def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
        config = configs[preset].shortened() if smoke else configs[preset]
        return downstream_experiment(name, question_in(description), config, crc_search.config(smoke))

    return experiment
