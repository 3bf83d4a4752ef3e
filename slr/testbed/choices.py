"""How an answer is chosen among several right ones: uniformly, or by typicality as a collapsed model does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

TYPICALITY = 0.2
"""Each answer is this many times as likely as the one before it in the typical order."""


def choose_uniformly(options: Sequence[T], rng: random.Random) -> T:
    """Any option, with equal probability."""
    return rng.choice(options)


def choose_typically(options: Sequence[T], rng: random.Random) -> T:
    """An option by its place: probabilities fall geometrically, so the first is chosen most of the time."""
    return rng.choices(options, weights=typical_weights(len(options)))[0]


def typical_weights(count: int) -> list[float]:
    """Unnormalised probabilities of a typical choice among ``count`` options."""
    return [TYPICALITY**rank for rank in range(count)]
