"""Does it matter which layers are restored?

The chosen hybrid answers open questions. So do hybrids that restore as many layers at the beginning, at the end and in
three random places.
"""

from __future__ import annotations

from slr.downstream.methods import CONTROLS
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

SMALL = DownstreamConfig(
    task="open_qa",
    source="hub",
    methods=CONTROLS,
    num_prompts=40,
    num_samples=128,
    max_new_tokens=64,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="open_qa",
        source="testbed",
        methods=CONTROLS,
        num_prompts=24,
        num_samples=32,
        max_new_tokens=12,
        num_seeds=3,
    ),
    "laptop": DownstreamConfig(
        task="open_qa",
        source="offline",
        methods=CONTROLS,
        num_prompts=20,
        num_samples=16,
        max_new_tokens=16,
    ),
    "small": SMALL,
    "paper": SMALL,
}

experiment = downstream("restoration_controls", __doc__, CONFIGS)
