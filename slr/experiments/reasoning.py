"""Does the hybrid solve more problems with several samples?

Base, instruct, hybrid and soup are scored by pass@k on all problems. Results also show the problems that the instruct
model's greedy answer gets wrong.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.methods import TASK_METHODS
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

SMALL = DownstreamConfig(
    task="reasoning",
    source="hub",
    methods=TASK_METHODS,
    num_prompts=200,
    num_samples=64,
    max_new_tokens=1024,
    batch_size=None,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="reasoning",
        source="testbed",
        methods=TASK_METHODS,
        num_prompts=96,
        num_samples=16,
        max_new_tokens=64,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="reasoning",
        source="offline",
        methods=TASK_METHODS,
        num_prompts=96,
        num_samples=8,
        max_new_tokens=8,
        last_number_counts=True,
    ),
    "small": SMALL,
    "paper": replace(SMALL, max_new_tokens=4096),
}

experiment = downstream("reasoning", __doc__, CONFIGS)
