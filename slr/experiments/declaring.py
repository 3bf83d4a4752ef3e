"""How an experiment is declared: by what makes it, at the size of a preset or in smoke size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import AnyExperiment, Experiment

MakeExperiment = Callable[[str, bool], AnyExperiment]
"""Makes an experiment at the size of a preset, by name; True asks for its smoke size."""


def question_in(description: str | None) -> str:
    """The question that an experiment asks: the first line of its module's docstring."""
    assert description is not None
    return description.splitlines()[0]


def downstream(
    name: str, description: str | None, configs: Mapping[str, DownstreamConfig]
) -> Callable[[str, bool], Experiment[DownstreamConfig]]:
    """Declare an experiment that samples answers of the models that the search chose.

    Args:
        name: of the experiment and its file of records.
        description: the docstring of the module that declares it.
        configs: the configuration for each preset, by name.
    """

    def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
        config = configs[preset].shortened() if smoke else configs[preset]
        return downstream_experiment(name, question_in(description), config, crc_search.config(smoke))

    return experiment
