"""Does the hybrid write more diversely, and at what price?

Base, instruct, and the hybrid and the soup that the search chose write poems, stories and jokes. The diversity of each
prompt's samples is measured, and their quality.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream

"""Fluency model by pair: the start model of the other pair, because a model favours what it wrote itself."""
FLUENCY_MODELS = (("laptop-llama", "laptop:gemma/base"), ("laptop-gemma", "laptop:smollm2/base"))
"""Each pair's samples are scored by the other pair's start model."""

SMALL = DownstreamConfig(
    task="creative_writing",
    source="hub",
    methods=BASELINES,
    num_prompts=20,
    num_samples=32,
    max_new_tokens=512,
    batch_size=64,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="creative_writing",
        source="testbed",
        methods=BASELINES,
        num_prompts=32,
        num_samples=16,
        max_new_tokens=64,
        batch_size=512,
    ),
    "laptop": DownstreamConfig(
        task="creative_writing",
        source="offline",
        methods=BASELINES,
        num_prompts=4,
        num_samples=8,
        max_new_tokens=64,
        fluency_models=FLUENCY_MODELS,
    ),
    "small": SMALL,
    "paper": replace(SMALL, num_prompts=100, max_new_tokens=4096),
}

experiment = downstream("creative_writing", __doc__, CONFIGS)
