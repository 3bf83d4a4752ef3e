"""Settings of sampling, the same for every task, method and engine."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Settings of sampling; ``slr.sampling.generation`` says in which order they act.

    The defaults of temperature and min-p are the paper's.

    Attributes:
        temperature: number that logits are divided by; 0 takes the likeliest token.
        min_p: smallest probability of a token, as a share of the largest one; 0 removes nothing.
        top_p: probability that the likeliest tokens kept have together; 1 removes nothing.
        top_k: number of the likeliest tokens kept; 0 removes nothing.
        max_new_tokens: largest number of tokens in an answer.
    """

    temperature: float = 1.0
    min_p: float = 0.1
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ValueError: if a setting is out of its range.
        """
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
