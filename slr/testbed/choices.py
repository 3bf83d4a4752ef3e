"""Two ways to choose among right answers: uniformly, or by typicality as a collapsed model does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

TYPICALITY = 0.2
"""Probability of an answer as a multiple of the one before it in the typical order."""


def choose_uniformly(options: Sequence[T], rng: random.Random) -> T:
    """Choose any option, all with equal probability."""
    return rng.choice(options)


def choose_typically(options: Sequence[T], rng: random.Random) -> T:
    """Choose an option by its place: probabilities fall geometrically, so most choices are the first option."""
    return rng.choices(options, weights=typical_weights(len(options)))[0]


def typical_weights(count: int) -> list[float]:
    """Compute the unnormalised probabilities of a typical choice among ``count`` options."""
    return [TYPICALITY**rank for rank in range(count)]
