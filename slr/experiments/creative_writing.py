"""Does the hybrid write more diversely, and at what price?

Base, instruct, and the hybrid and the soup that the search chose write poems, stories and jokes. The diversity of each
prompt's samples is measured, and their quality.
"""

from __future__ import annotations

from dataclasses import replace

from slr.downstream.methods import TASK_METHODS
from slr.downstream.study import DownstreamConfig
from slr.experiments.declaring import downstream
from slr.models.presets import find_pair
from slr.models.reference import ModelReference

_QWEN, _LLAMA = find_pair("small-qwen").base, find_pair("small-llama").base
FLUENCY_MODELS = (
    ("laptop-llama", ModelReference("laptop:gemma/base")),
    ("laptop-gemma", ModelReference("laptop:smollm2/base")),
    ("small-llama", _QWEN),
    ("small-qwen", _LLAMA),
    ("small-gemma", _QWEN),
    ("paper-llama", _QWEN),
    ("paper-qwen", _LLAMA),
    ("paper-gemma", _QWEN),
)
"""Base model of another family that scores each pair's samples, because a model favours what it wrote itself."""

SMALL = DownstreamConfig(
    task="creative_writing",
    source="hub",
    methods=TASK_METHODS,
    num_prompts=20,
    num_samples=32,
    max_new_tokens=512,
    batch_size=None,
    fluency_models=FLUENCY_MODELS,
)
CONFIGS = {
    "testbed": DownstreamConfig(
        task="creative_writing",
        source="testbed",
        methods=TASK_METHODS,
        num_prompts=32,
        num_samples=16,
        max_new_tokens=64,
        batch_size=512,
    ),
    "laptop": DownstreamConfig(
        task="creative_writing",
        source="offline",
        methods=TASK_METHODS,
        num_prompts=13,
        num_samples=8,
        max_new_tokens=64,
        fluency_models=FLUENCY_MODELS,
    ),
    "small": SMALL,
    "paper": replace(SMALL, num_prompts=100, max_new_tokens=4096),
}

experiment = downstream("creative_writing", __doc__, CONFIGS)
