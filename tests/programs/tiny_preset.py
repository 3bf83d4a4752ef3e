"""The preset ``testbed`` with one tiny pair in it, for programs that tests start."""

from __future__ import annotations

from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec


def use_tiny_preset(directory: str) -> None:
    """Have the preset consist of the Llama pair of 6 layers in that directory."""
    base, instruct = (ModelReference(f"{directory}/{side}") for side in ("base", "instruct"))
    spec = PairSpec(
        name="tiny-llama", family="llama", base=base, instruct=instruct, num_layers=6, num_parameters=None
    )
    PRESETS["testbed"] = Preset("testbed", (spec,), "tiny")
