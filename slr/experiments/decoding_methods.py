"""Does restoring layers add to what decoding gives?

The instruct model and the hybrid each answer open questions at several temperatures, values of min-p and of top-p.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.methods import DECODING
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

SMALL = DownstreamConfig(
    task="open_qa",
    source="hub",
    methods=DECODING,
    num_prompts=40,
    num_samples=64,
    max_new_tokens=64,
    batch_size=None,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        methods=DECODING,
        num_prompts=24,
        num_samples=16,
        max_new_tokens=12,
        num_seeds=3,
        batch_size=384,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        methods=DECODING,
        num_prompts=10,
        num_samples=16,
        max_new_tokens=16,
    ),
    "small": SMALL,
    "paper": replace(SMALL, num_samples=128),
}

experiment = downstream("decoding_methods", __doc__, CONFIGS)
