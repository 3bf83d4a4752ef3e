"""Does restoring layers add to what prompting gives?

The instruct model and the hybrid each answer open questions: asked directly, for a list, and by verbalized sampling.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.methods import PROMPTING
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

SMALL = DownstreamConfig(
    task="open_qa",
    source="hub",
    methods=PROMPTING,
    num_prompts=40,
    num_samples=64,
    max_new_tokens=256,
    batch_size=None,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        methods=PROMPTING,
        num_prompts=24,
        num_samples=16,
        max_new_tokens=48,
        num_seeds=3,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        methods=PROMPTING,
        num_prompts=10,
        num_samples=16,
        max_new_tokens=48,
    ),
    "small": SMALL,
    "paper": replace(SMALL, num_samples=128),
}

experiment = downstream("prompting_methods", __doc__, CONFIGS)
