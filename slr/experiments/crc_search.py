"""Which layers hold the collapse of diversity?

For each pair, CRC validity and diversity are measured for the base model, the instruct model, every layer interval and
the soups. One rule chooses an interval and a soup. Both are checked on held-out prompts.
"""

from __future__ import annotations

from slr.crc.study import FULL, SMOKE, CrcStudyConfig, crc_experiment
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes


def config(smoke: bool) -> CrcStudyConfig:
    """The configuration, which is the same for every preset."""
    return SMOKE if smoke else FULL


def experiment(_preset: str, smoke: bool, _sizes: Sizes = PRESET_SIZES) -> Experiment[CrcStudyConfig]:
    """Make the experiment, or its smoke size.

    Args:
        _preset: name of the preset; the experiment is the same for all.
        smoke: whether to make the smoke size.
        _sizes: sizes that differ from the preset's; there are none for this experiment.
    """
    return crc_experiment(config(smoke))
