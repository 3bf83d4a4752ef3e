"""Which right answers to open questions do the rules miss?

The answers of ``open_qa`` that the rules do not recognise, read by a language model behind the endpoint that the
environment describes: SLR_JUDGE_BASE_URL, SLR_JUDGE_MODEL and SLR_JUDGE_API_KEY; see docs/judge.md.
"""

from __future__ import annotations

from slr.experiments import open_qa
from slr.experiments.declaring import MakeExperiment, question_in
from slr.judging.canonicaliser import CanonicaliserConfig, canonicaliser_experiment
from slr.judging.chat_endpoint import ChatModel, is_configured
from slr.runs.experiment import Experiment

PREFIX = "SLR_JUDGE"


def experiment(preset: str, smoke: bool) -> Experiment[CanonicaliserConfig]:
    """The experiment at a preset's size, or its smoke size.

    Raises:
        ValueError: if the environment describes no endpoint.
    """
    return canonicaliser_experiment(
        "canonicalise",
        question_in(__doc__),
        CanonicaliserConfig(model=ChatModel.from_environment(PREFIX)),
        open_qa.experiment(preset, smoke),
        PREFIX,
    )


def configured() -> list[MakeExperiment]:
    """The experiment, if the environment describes an endpoint."""
    return [experiment] if is_configured(PREFIX) else []
