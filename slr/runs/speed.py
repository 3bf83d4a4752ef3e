"""How long work takes on a kind of device, by its estimated cost.

``slr calibrate`` measures the device of this machine. Without it the speeds are the ones in this file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from slr.files.whole import write_whole
from slr.models.start_models import cache_directory


class Work(Protocol):
    """An estimate of work, as ``Cost`` and ``CellTime`` have it."""

    @property
    def tokens(self) -> int:
        """Number of tokens, summed over layer evaluations."""
        ...

    @property
    def flops(self) -> float | None:
        """Floating-point operations; None where a model's size is not known."""
        ...

    @property
    def sampled_share(self) -> float:
        """Share of ``flops`` for tokens that are sampled one after the other."""
        ...


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

    def seconds(self, work: Work) -> float | None:
        """Estimate the time of the work in seconds; None where its FLOP are not known."""
        if work.flops is None:
            # Without tokens it only counts or measures what other work made.
            return None if work.tokens else 0.0
        return work.flops * ((1 - work.sampled_share) / self.forward + work.sampled_share / self.sampling)


KNOWN_SPEEDS = {
    "cpu": DeviceSpeed(forward=5e10, sampling=3e10, origin="measured on one CPU core in float32"),
    "cuda": DeviceSpeed(
        forward=3e14, sampling=2.4e14, origin="measured on one H100 in bfloat16, without lm-eval"
    ),
}
"""Speeds by kind of device.

One core of an Intel Xeon searched SmolLM2-135M with 3.9e10 FLOP/s and gemma-3-270m with 7.9e10, by the parameters of
their layers (5,238,450 tokens in 955 s and 1,135,017 in 160 s, one thread, 2026-11-27). A second process used the other
core. A process with two cores sampled with 6.2e10; the speed of one core is taken as half of that.

An H100 searched pairs of 7 to 9 billion parameters with 3.4e14 to 4.6e14 FLOP/s (``search_cost.py --shape``,
2026-11-26). Its forward speed here is lower, because lm-eval's batches are padded and its speed was not measured. Its
sampling speed is 14,743 tokens a second of an 8B model (``sampling_cost.py --shape llama-8b``) once long answers fill
most rows.
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
