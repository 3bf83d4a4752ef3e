"""Which layers hold the collapse of diversity?

For each pair: CRC validity and diversity of the base model, the instruct model, every layer interval and the
soups; the interval and the soup chosen by the same rule; both checked on held-out prompts.
"""

from __future__ import annotations

from slr.crc.study import FULL, SMOKE, CrcStudyConfig, crc_experiment
from slr.runs.experiment import Experiment


def config(smoke: bool) -> CrcStudyConfig:
    """The same for every preset."""
    return SMOKE if smoke else FULL


def experiment(_preset: str, smoke: bool) -> Experiment[CrcStudyConfig]:
    """The experiment, or its smoke size."""
    return crc_experiment(config(smoke))
