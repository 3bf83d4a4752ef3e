"""Does CRC predict diversity and quality on tasks, and was the chosen interval a good choice?

At least 15 intervals of each pair, spread over the plane of CRC validity and diversity, write, answer open questions
and solve problems. lm-evaluation-harness scores each of them too.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.study import DownstreamConfig
from slr.experiments import crc_search, creative_writing, open_qa, quality, reasoning
from slr.experiments.declaring import question_in
from slr.harness.study import HarnessConfig
from slr.prediction.study import PredictionConfig, prediction_experiment
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes

NUM_INTERVALS = 15
"""Number of intervals of each pair."""


def _sized(config: DownstreamConfig, num_prompts: int, num_samples: int) -> DownstreamConfig:
    """The task of another experiment, smaller, because every interval does it."""
    return replace(
        config,
        methods=(),
        num_prompts=num_prompts,
        num_samples=num_samples,
        num_seeds=1,
        batch_size=384,
        fluency_models=(),
    )


def _config(
    preset: str,
    harness: HarnessConfig,
    *,
    writing: tuple[int, int],
    questions: tuple[int, int],
    problems: tuple[int, int],
) -> PredictionConfig:
    """Sizes are numbers of prompts (of each genre, where there are genres) and of samples of each prompt."""
    return PredictionConfig(
        num_intervals=NUM_INTERVALS,
        tasks=(
            _sized(creative_writing.CONFIGS[preset], *writing),
            _sized(open_qa.CONFIGS[preset], *questions),
            _sized(reasoning.CONFIGS[preset], *problems),
        ),
        harness=harness,
    )


ENGLISH = replace(quality.CONFIGS["laptop"], tasks=quality.ENGLISH_TASKS)
SMALL = _config("small", ENGLISH, writing=(8, 8), questions=(28, 16), problems=(40, 8))
CONFIGS = {
    "testbed": _config(
        "testbed",
        replace(quality.CONFIGS["testbed"], tasks=quality.TESTBED_TASKS[:1], limit=48),
        writing=(4, 8),
        questions=(24, 16),
        problems=(12, 8),
    ),
    "laptop": _config(
        "laptop", replace(ENGLISH, limit=20), writing=(2, 4), questions=(12, 4), problems=(12, 4)
    ),
    "small": SMALL,
    "paper": replace(SMALL, tasks=tuple(replace(task, batch_size=None) for task in SMALL.tasks)),
}


def experiment(preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES) -> Experiment[PredictionConfig]:
    """Make the experiment at a preset's size, or at its smoke size.

    Args:
        preset: name of the preset.
        smoke: whether to make the smoke size.
        sizes: sizes that differ from the preset's.
    """
    config = sizes.applied("prediction", CONFIGS[preset])
    config = config.shortened() if smoke else config
    return prediction_experiment("prediction", question_in(__doc__), config, crc_search.config(smoke))
