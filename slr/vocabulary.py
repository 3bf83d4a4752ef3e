"""The words by which code, records and tables name what there is; each is an id, and none is for display.

One thing has one word everywhere: a *hybrid* is a model with restored layers, an *interval* the layers that it
restores, a *method* a model together with the way to sample from it and the way to ask it.
"""

from __future__ import annotations

from typing import Literal

Component = Literal["attention", "mlp", "norms"]
"""Parts of a decoder layer; see ``slr.models.components``."""

COMPONENTS: tuple[Component, ...] = ("attention", "mlp", "norms")
"""All parts of a decoder layer, which together are the layer."""

ModelKind = Literal["base", "instruct", "hybrid", "soup"]
"""Kinds of models that a search scores and chooses among."""

ComparedModel = Literal[
    "instruct", "base", "hybrid", "soup", "early", "late", "random-1", "random-2", "random-3"
]
"""Models that experiments compare.

``hybrid`` restores the chosen interval. ``early``, ``late`` and ``random-N`` are hybrids that restore as many layers
elsewhere: the first ones, the last ones, and intervals drawn at random.
"""

PromptSet = Literal["selection", "held_out"]

TaskName = Literal["creative_writing", "open_qa", "reasoning"]
"""Tasks on which claims rest. There may be others; see ``slr.plugins``."""

Aspect = Literal["diversity", "quality", "both", "length"]
"""Property of samples that a metric is about."""

Source = Literal["testbed", "offline", "hub"]
"""Sources of prompts: the testbed's world, or real prompts.

``offline`` and ``hub`` differ in the reasoning problems alone, which are our own or GSM8K from the hub.
"""

PromptingMethod = Literal["direct", "list", "verbalized", "few_shot"]
"""Ways to ask for an answer; see ``slr.tasks.prompting_methods``.

The last one is for base models: a document with worked examples outside the chat template; see ``slr.tasks.few_shot``.
"""
