"""The way to declare an experiment: a function that makes it, at the size of a preset or at smoke size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import AnyExperiment, Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes


class MakeExperiment(Protocol):
    """Makes an experiment."""

    def __call__(self, preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES, /) -> AnyExperiment:
        """Make it at the size of a preset, or at smoke size.

        Args:
            preset: name of the preset.
            smoke: whether to make the smoke size.
            sizes: sizes that differ from the preset's.
        """
        ...


def question_in(description: str | None) -> str:
    """The question of an experiment: the first line of its module's docstring."""
    assert description is not None
    return description.splitlines()[0]


def downstream(
    name: str, description: str | None, configs: Mapping[str, DownstreamConfig]
) -> Callable[..., Experiment[DownstreamConfig]]:
    """Declare an experiment that samples answers of the models that the search chose.

    Args:
        name: name of the experiment and of its file of records.
        description: docstring of the module that declares it.
        configs: configuration by preset.

    Returns:
        The function that makes the experiment, with the arguments of ``MakeExperiment``.
    """

    def experiment(preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES, /) -> Experiment[DownstreamConfig]:
        config = sizes.applied(name, configs[preset])
        config = config.shortened() if smoke else config
        return downstream_experiment(name, question_in(description), config, crc_search.config(smoke))

    return experiment
