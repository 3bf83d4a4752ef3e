"""Does the hybrid write more diversely, and at what price?

Poems, stories and jokes by base, instruct, the hybrid and the soup that the search chose: diversity of a prompt's
samples, and their quality beside it.
"""

from __future__ import annotations

from slr.downstream.conditions import BASELINES
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import Experiment
from slr.runs.script import run_script

FLUENCY_MODELS = {"laptop-llama": "laptop:gemma/base", "laptop-gemma": "laptop:smollm2/base"}
"""Each pair's samples are scored by the other pair's start model."""

CONFIGS = {
    "testbed": DownstreamConfig(
        task="creative_writing",
        source="testbed",
        conditions=BASELINES,
        num_prompts=32,
        num_samples=16,
        max_new_tokens=64,
        batch_size=512,
    ),
    "laptop": DownstreamConfig(
        task="creative_writing",
        source="offline",
        conditions=BASELINES,
        num_prompts=4,
        num_samples=8,
        max_new_tokens=64,
        fluency_models=FLUENCY_MODELS,
    ),
    "small": DownstreamConfig(
        task="creative_writing",
        source="hub",
        conditions=BASELINES,
        num_prompts=20,
        num_samples=32,
        max_new_tokens=512,
        batch_size=64,
    ),
    "paper": DownstreamConfig(
        task="creative_writing",
        source="hub",
        conditions=BASELINES,
        num_prompts=100,
        num_samples=32,
        max_new_tokens=4096,
        batch_size=64,
    ),
}


def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
    """The experiment at a preset's size, or its smoke size."""
    config = CONFIGS[preset].shortened() if smoke else CONFIGS[preset]
    return downstream_experiment(
        "creative_writing", str(__doc__).splitlines()[0], config, crc_search.config(smoke)
    )


def main(argv: list[str] | None = None) -> int:
    """Run it; see ``--help``."""
    return run_script(str(__doc__), [crc_search.experiment, experiment], argv)


if __name__ == "__main__":
    raise SystemExit(main())
