"""How long work takes on a kind of device, by its estimated cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slr.runs.experiment import Cost


@dataclass(frozen=True, kw_only=True)
class AssumedSpeed:
    """Speed of a kind of device, in FLOP per second.

    Attributes:
        forward: speed of forward passes over whole texts.
        sampling: speed while tokens are sampled one after the other.
    """

    forward: float
    sampling: float

    def seconds(self, cost: Cost) -> float | None:
        """Estimate the time of the work in seconds; None where its FLOP are not known."""
        if cost.flops is None:
            return None
        return cost.flops * ((1 - cost.sampled_share) / self.forward + cost.sampled_share / self.sampling)


ASSUMED_SPEEDS = {
    "cpu": AssumedSpeed(forward=5e10, sampling=3e10),
    "cuda": AssumedSpeed(forward=3e14, sampling=2.4e14),
}
"""Speeds by kind of device: two CPU cores in float32, and one H100 in bfloat16.

The H100's forward speed is a third of its peak. Its sampling speed is 14,743 tokens a second of an 8B model, measured
by ``experiments/sampling_cost.py --shape llama-8b`` once long answers fill most rows.
"""


def assumed_speed(device: str) -> AssumedSpeed:
    """The speed of the kind of a device, such as ``cuda:0``; the CPU's for a kind that is not known."""
    return ASSUMED_SPEEDS.get(device.split(":")[0], ASSUMED_SPEEDS["cpu"])
