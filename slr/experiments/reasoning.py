"""Does the hybrid solve more of the problems that the instruct model's greedy answer gets wrong?

pass@k over samples, for base, instruct, hybrid and soup. The problems are chosen for each pair and recorded.
"""

from __future__ import annotations

from slr.downstream.conditions import BASELINES
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import Experiment
from slr.runs.script import run_script

CONFIGS = {
    "testbed": DownstreamConfig(
        task="reasoning",
        source="testbed",
        conditions=BASELINES,
        num_prompts=24,
        num_candidates=200,
        num_samples=16,
        max_new_tokens=64,
        num_seeds=3,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="reasoning",
        source="offline",
        conditions=BASELINES,
        num_prompts=8,
        num_candidates=24,
        num_samples=8,
        max_new_tokens=64,
    ),
    "small": DownstreamConfig(
        task="reasoning",
        source="hub",
        conditions=BASELINES,
        num_prompts=100,
        num_candidates=1319,
        num_samples=64,
        max_new_tokens=1024,
        batch_size=64,
    ),
    "paper": DownstreamConfig(
        task="reasoning",
        source="hub",
        conditions=BASELINES,
        num_prompts=100,
        num_candidates=1319,
        num_samples=64,
        max_new_tokens=4096,
        batch_size=64,
    ),
}


def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
    """The experiment at a preset's size, or its smoke size."""
    config = CONFIGS[preset].shortened() if smoke else CONFIGS[preset]
    return downstream_experiment("reasoning", str(__doc__).splitlines()[0], config, crc_search.config(smoke))


def main(argv: list[str] | None = None) -> int:
    """Run it; see ``--help``."""
    return run_script(str(__doc__), [crc_search.experiment, experiment], argv)


if __name__ == "__main__":
    raise SystemExit(main())
