"""Sample from both models of a pair with vLLM, alone or as one of the processes that a launcher started.

The arguments are the directory of the pair and the directory for the records.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from slr.crc.study import SMOKE, crc_experiment
from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import RunSettings
from slr.runs.processes import launched_processes
from slr.runs.run_experiments import run_experiments

METHODS = tuple(method for method in BASELINES if method.model in ("base", "instruct"))
ASKING = downstream_experiment(
    "asking",
    "?",
    DownstreamConfig(
        task="open_qa", source="testbed", methods=METHODS, num_prompts=2, num_samples=4, max_new_tokens=8
    ),
    SMOKE,
)


def main(pair: Path, output_dir: Path) -> None:
    """Run the study."""
    spec = PairSpec(
        name="tiny",
        family="llama",
        base=ModelReference(str(pair / "base")),
        instruct=ModelReference(str(pair / "instruct")),
        num_layers=None,
        num_parameters=None,
    )
    settings = RunSettings(
        output_dir=output_dir, dtype=torch.float32, engine="vllm", processes=launched_processes()
    )
    outcomes = run_experiments([crc_experiment(SMOKE), ASKING], spec, settings)
    assert not any(outcome.failed for outcome in outcomes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
