"""Which right answers to open questions do the rules miss?

A language model reads the answers of ``open_qa`` that the rules do not recognise. The environment describes its
endpoint: SLR_JUDGE_BASE_URL, SLR_JUDGE_MODEL and SLR_JUDGE_API_KEY; see docs/judge.md.
"""

from __future__ import annotations

from slr.experiments import open_qa
from slr.experiments.declaring import MakeExperiment, question_in
from slr.judging.canonicaliser import CanonicaliserConfig, canonicaliser_experiment
from slr.judging.chat_endpoint import ChatModel, is_configured
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes

PREFIX = "SLR_JUDGE"
"""Prefix of the environment variables: the first judge also reads the answers."""


def experiment(preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES) -> Experiment[CanonicaliserConfig]:
    """Make the experiment at a preset's size, or at its smoke size.

    Args:
        preset: name of the preset.
        smoke: whether to make the smoke size.
        sizes: sizes that differ from the preset's.

    Raises:
        ValueError: if the environment describes no endpoint.
    """
    return canonicaliser_experiment(
        "canonicalise",
        question_in(__doc__),
        CanonicaliserConfig(model=ChatModel.from_environment(PREFIX)),
        open_qa.experiment(preset, smoke, sizes),
        PREFIX,
    )


def configured() -> list[MakeExperiment]:
    """The experiment, if the environment describes an endpoint; otherwise none."""
    return [experiment] if is_configured(PREFIX) else []
