"""A tiny world and three pairs of tiny models that live in it: the embedded default of all experiments."""

from __future__ import annotations

from pathlib import Path

FAMILIES = ("llama", "qwen", "gemma")


def pair_directory(family: str) -> Path:
    """The directory that holds the checkpoints ``base`` and ``instruct`` of a family.

    Raises:
        ValueError: if there is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"there is no testbed family {family!r}: expected one of {', '.join(FAMILIES)}")
    return Path(__file__).parent / "pairs" / family
