"""Does it matter which layers are restored?

Open questions answered by the chosen hybrid, and by hybrids with as many layers restored at the beginning, at the
end and in three random places.
"""

from __future__ import annotations

from slr.downstream.conditions import CONTROLS
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.experiments import crc_search
from slr.runs.experiment import Experiment
from slr.runs.script import run_script

CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        conditions=CONTROLS,
        num_prompts=24,
        num_samples=32,
        max_new_tokens=12,
        num_seeds=3,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        conditions=CONTROLS,
        num_prompts=20,
        num_samples=16,
        max_new_tokens=16,
    ),
    "small": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=CONTROLS,
        num_prompts=40,
        num_samples=128,
        max_new_tokens=64,
    ),
    "paper": DownstreamConfig(
        task="open_qa",
        source="hub",
        conditions=CONTROLS,
        num_prompts=40,
        num_samples=128,
        max_new_tokens=64,
    ),
}


def experiment(preset: str, smoke: bool) -> Experiment[DownstreamConfig]:
    """The experiment at a preset's size, or its smoke size."""
    config = CONFIGS[preset].shortened() if smoke else CONFIGS[preset]
    return downstream_experiment(
        "restoration_controls", str(__doc__).splitlines()[0], config, crc_search.config(smoke)
    )


def main(argv: list[str] | None = None) -> int:
    """Run it; see ``--help``."""
    return run_script(str(__doc__), [crc_search.experiment, experiment], argv)


if __name__ == "__main__":
    raise SystemExit(main())
