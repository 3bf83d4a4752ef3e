"""Where did post-training change the model, and where along depth does the answer become decided?

For each layer the relative change of its weights is measured, for attention, MLP and norms. The logit lens gives the
entropy of the next token after each layer, for base, instruct, and the chosen hybrid and soup, on held-out CRC prompts.
"""

from __future__ import annotations

from slr.experiments import crc_search
from slr.experiments.declaring import question_in
from slr.mechanism.study import MechanismConfig, mechanism_experiment
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes


def experiment(_preset: str, smoke: bool, _sizes: Sizes = PRESET_SIZES) -> Experiment[MechanismConfig]:
    """Make the experiment, or its smoke size; it is the same for every preset.

    Args:
        _preset: name of the preset; the experiment is the same for all.
        smoke: whether to make the smoke size.
        _sizes: sizes that differ from the preset's; there are none for this experiment.
    """
    return mechanism_experiment("mechanism", question_in(__doc__), crc_search.config(smoke))
