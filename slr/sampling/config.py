"""How answers are sampled: one set of settings for every task, method and engine."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Settings of sampling; the order in which they act is told in ``slr.sampling.generation``.

    ``temperature`` 0 takes the likeliest token. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 remove nothing. The
    defaults of temperature and min-p are the paper's.

    Raises:
        ValueError: if a setting is out of its range.
    """

    temperature: float = 1.0
    min_p: float = 0.1
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}, expected a finite number, 0 or more")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p is {self.min_p}, expected a number in [0, 1)")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, expected a number in (0, 1]")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}, expected 0 or more")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}, expected at least 1")
