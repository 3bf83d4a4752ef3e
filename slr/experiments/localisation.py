"""Does the collapse sit in certain layers, in a part of them, and is it best restored whole?

Intervals are restored at several alphas, and with attention, MLP or norms alone. Sets of as many layers as the chosen
hybrid has, not next to each other, are chosen greedily and drawn at random. All are compared on held-out prompts with
the hybrid, the soup, and the soup of the decoder layers alone.
"""

from __future__ import annotations

from dataclasses import replace

from slr.crc.localisation_study import LocalisationConfig, localisation_experiment
from slr.experiments import crc_search
from slr.experiments.declaring import question_in
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes

FULL = LocalisationConfig(
    alphas=(0.25, 0.5, 0.75), components=(("attention",), ("mlp",), ("norms",), ("attention", "mlp"))
)
CONFIGS = {
    "testbed": FULL,
    # Each stack takes as long as the whole search of the pair.
    "laptop": LocalisationConfig(alphas=(0.5,), components=()),
    "small": LocalisationConfig(alphas=(0.5,), components=(("attention",), ("mlp",))),
    "paper": FULL,
}


def experiment(preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES) -> Experiment[LocalisationConfig]:
    """Make the experiment at the size of a preset, or its smoke size.

    Args:
        preset: name of the preset.
        smoke: whether to make the smoke size.
        sizes: sizes that differ from the preset's.
    """
    config = replace(sizes.applied("localisation", CONFIGS[preset]), search=crc_search.config(smoke))
    if smoke:
        config = replace(config, alphas=(0.5,), components=(("mlp",),), num_random_sets=2)
    return localisation_experiment(question_in(__doc__), config)
