"""How stable is the search's choice?

Every interval is scored on the held-out prompts too, so that the result of any other choice is known. All models are
scored once more as min-p sampling sees them. The choice is then made again by other prompts and by other rules.
"""

from __future__ import annotations

from slr.experiments import crc_search
from slr.experiments.declaring import question_in
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes
from slr.stability.study import StabilityConfig, stability_experiment


def experiment(_preset: str, smoke: bool, _sizes: Sizes = PRESET_SIZES) -> Experiment[StabilityConfig]:
    """Make the experiment, which is the same for every preset, or its smoke size.

    Args:
        _preset: name of the preset; the experiment is the same for all.
        smoke: whether to make the smoke size.
        _sizes: sizes that differ from the preset's; there are none for this experiment.
    """
    config = StabilityConfig(crc=crc_search.config(smoke))
    return stability_experiment("stability", question_in(__doc__), config)
