"""What does a judge think of the texts: fluency, originality, and adherence to the request?

A language model scores the texts of ``creative_writing``. The environment describes its endpoint: SLR_JUDGE_BASE_URL,
SLR_JUDGE_MODEL and SLR_JUDGE_API_KEY. For a second opinion, set the same variables with SLR_JUDGE2. docs/judge.md says
how to set up an endpoint, and what it costs.
"""

from __future__ import annotations

from functools import partial

from slr.experiments import creative_writing
from slr.experiments.declaring import MakeExperiment, question_in
from slr.judging.chat_endpoint import ChatModel, is_configured
from slr.judging.judge_study import JudgeConfig, judge_experiment
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes

PREFIXES = {"judge": "SLR_JUDGE", "second_judge": "SLR_JUDGE2"}
"""Prefix of the environment variables by experiment."""
NUM_SAMPLES = {"testbed": 2, "laptop": 4, "small": 8, "paper": 8}
"""Number of texts judged of each prompt and method, by preset."""


def experiment(
    preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES, name: str = "judge"
) -> Experiment[JudgeConfig]:
    """Make the experiment at a preset's size, or at its smoke size.

    Args:
        preset: name of the preset.
        smoke: whether to make the smoke size.
        sizes: sizes that differ from the preset's.
        name: ``judge`` for the first judge, ``second_judge`` for the second one.

    Returns:
        The experiment.

    Raises:
        ValueError: if the environment does not describe that judge.
    """
    prefix = PREFIXES[name]
    config = JudgeConfig(judge=ChatModel.from_environment(prefix), num_samples=NUM_SAMPLES[preset])
    config = sizes.applied("judge", config)
    return judge_experiment(
        name,
        question_in(__doc__),
        config.shortened() if smoke else config,
        creative_writing.experiment(preset, smoke, sizes),
        prefix,
    )


def configured() -> list[MakeExperiment]:
    """The experiments of the judges that the environment describes."""
    return [partial(experiment, name=name) for name, prefix in PREFIXES.items() if is_configured(prefix)]
