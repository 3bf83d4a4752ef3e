"""Does restoring layers add to what prompting gives?

Open questions asked directly, for a list, and by verbalized sampling, each of the instruct model and of the hybrid.
"""

from __future__ import annotations

from slr.downstream.conditions import PROMPTING
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import Experiment
from slr.runs.script import run_script

CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        conditions=PROMPTING,
        num_prompts=24,
        num_samples=16,
        max_new_tokens=48,
        num_seeds=3,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        conditions=PROMPTING,
        num_prompts=10,
        num_samples=16,
        max_new_tokens=48,
    ),
    "small": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=PROMPTING,
        num_prompts=40,
        num_samples=64,
        max_new_tokens=256,
    ),
    "paper": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=PROMPTING,
        num_prompts=40,
        num_samples=128,
        max_new_tokens=256,
    ),
}


def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
    """The experiment at a preset's size, or its smoke size."""
    config = CONFIGS[preset].shortened() if smoke else CONFIGS[preset]
    return downstream_experiment(
        "prompting_methods", str(__doc__).splitlines()[0], config, crc_search.config(smoke)
    )


def main(argv: list[str] | None = None) -> int:
    """Run it; see ``--help``."""
    return run_script(str(__doc__), [crc_search.experiment, experiment], argv)


if __name__ == "__main__":
    raise SystemExit(main())
