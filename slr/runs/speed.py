"""How long work takes on a kind of device, by its estimated cost.

``slr calibrate`` measures the device of this machine. Without it the speeds are the ones in this file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slr.files.whole import write_whole
from slr.models.start_models import cache_directory

if TYPE_CHECKING:
    from slr.runs.experiment import Cost


@dataclass(frozen=True, kw_only=True)
class DeviceSpeed:
    """Speed of a kind of device, in FLOP per second.

    Attributes:
        forward: speed of forward passes over whole texts.
        sampling: speed while tokens are sampled one after the other.
        origin: where the speeds come from, in words.
    """

    forward: float
    sampling: float
    origin: str

    def seconds(self, cost: Cost) -> float | None:
        """Estimate the time of the work in seconds; None where its FLOP are not known."""
        if cost.flops is None:
            return None
        return cost.flops * ((1 - cost.sampled_share) / self.forward + cost.sampled_share / self.sampling)


KNOWN_SPEEDS = {
    "cpu": DeviceSpeed(forward=5e10, sampling=3e10, origin="assumed of two CPU cores in float32"),
    "cuda": DeviceSpeed(forward=3e14, sampling=2.4e14, origin="assumed of one H100 in bfloat16"),
}
"""Speeds by kind of device.

The H100's forward speed is a third of its peak. Its sampling speed is 14,743 tokens a second of an 8B model, measured
by ``experiments/sampling_cost.py --shape llama-8b`` once long answers fill most rows.
"""


def device_speed(kind: str) -> DeviceSpeed:
    """The speed of a kind of device: measured on this machine, or else known.

    Args:
        kind: ``cpu`` or ``cuda``. Any other kind counts as a CPU.
    """
    kind = kind if kind in KNOWN_SPEEDS else "cpu"
    try:
        return DeviceSpeed(**json.loads(_measured_file(kind).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not measured, or by another version
        return KNOWN_SPEEDS[kind]


def keep_speed(kind: str, speed: DeviceSpeed) -> Path:
    """Keep a measured speed for later estimates on this machine, and return its file."""
    path = _measured_file(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(speed), indent=1) + "\n")
    return path


def _measured_file(kind: str) -> Path:
    return cache_directory() / f"speed-{kind}.json"
