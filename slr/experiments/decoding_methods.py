"""Does restoring layers add to what decoding gives?

Open questions answered at several temperatures, min-p and top-p, each by the instruct model and by the hybrid.
"""

from __future__ import annotations

from slr.downstream.conditions import DECODING
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import Experiment
from slr.runs.script import run_script

CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        conditions=DECODING,
        num_prompts=24,
        num_samples=16,
        max_new_tokens=12,
        num_seeds=3,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        conditions=DECODING,
        num_prompts=10,
        num_samples=16,
        max_new_tokens=16,
    ),
    "small": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=DECODING,
        num_prompts=40,
        num_samples=64,
        max_new_tokens=64,
    ),
    "paper": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=DECODING,
        num_prompts=40,
        num_samples=128,
        max_new_tokens=64,
    ),
}


def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
    """The experiment at a preset's size, or its smoke size."""
    config = CONFIGS[preset].shortened() if smoke else CONFIGS[preset]
    return downstream_experiment(
        "decoding_methods", str(__doc__).splitlines()[0], config, crc_search.config(smoke)
    )


def main(argv: list[str] | None = None) -> int:
    """Run it; see ``--help``."""
    return run_script(str(__doc__), [crc_search.experiment, experiment], argv)


if __name__ == "__main__":
    raise SystemExit(main())
