"""Does the hybrid find more of the right answers to questions that have many?

Base, instruct, hybrid and soup answer. Their precision, coverage of the right answers and entropy are measured.
"""

from __future__ import annotations

from slr.downstream.methods import TASK_METHODS
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

SMALL = DownstreamConfig(
    task="open_qa",
    source="hub",
    methods=TASK_METHODS,
    num_prompts=40,
    num_samples=128,
    max_new_tokens=64,
    batch_size=None,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        methods=TASK_METHODS,
        num_prompts=24,
        num_samples=32,
        max_new_tokens=12,
        num_seeds=3,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        methods=TASK_METHODS,
        num_prompts=28,
        num_samples=16,
        max_new_tokens=16,
    ),
    "small": SMALL,
    "paper": SMALL,
}

experiment = downstream("open_qa", __doc__, CONFIGS)
