"""Calibration of the cosine similarity from which two texts count as the same.

``paraphrases.json`` has 12 requests with three different answers each, and every answer a second time in other words.
The two wordings of an answer are the same. Answers that differ are compared within one request only, because samples
are only ever compared with samples of the same prompt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from slr.metrics.semantic import SentenceEncoder


@dataclass(frozen=True, kw_only=True)
class Similarities:
    """Cosine similarities of pairs of texts.

    Attributes:
        same: similarities of two wordings of one answer.
        different: similarities of two different answers to one request.
    """

    same: tuple[float, ...]
    different: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors at one threshold.

    Attributes:
        threshold: cosine similarity from which two texts count as the same.
        split: share of the pairs with the same meaning that fall below the threshold.
        joined: share of the pairs with different meanings that reach it.
    """

    threshold: float
    split: float
    joined: float

    @property
    def balanced(self) -> float:
        """The mean of both shares."""
        return (self.split + self.joined) / 2


def measure_similarities(encoder: SentenceEncoder) -> Similarities:
    """Embed all texts and compare the texts of each request.

    Args:
        encoder: the sentence encoder.
    """
    source = resources.files("slr.costs").joinpath("paraphrases.json")
    same: list[float] = []
    different: list[float] = []
    for of_request in json.loads(source.read_text(encoding="utf-8")):
        embedded = [encoder.encode(wordings) for wordings in of_request["texts"]]
        same += [float(first @ second) for first, second in embedded]
        for one, other in combinations(embedded, 2):
            different += [float(a @ b) for a, b in product(one, other)]
    return Similarities(same=tuple(same), different=tuple(different))


def errors_at(similarities: Similarities, threshold: float) -> Errors:
    """Compute the shares of wrong decisions at a threshold."""
    return Errors(
        threshold=threshold,
        split=float(np.mean(np.array(similarities.same) < threshold)),
        joined=float(np.mean(np.array(similarities.different) >= threshold)),
    )


def best_threshold(similarities: Similarities, thresholds: Sequence[float]) -> float:
    """Find the threshold with the fewest errors by the mean of both shares; of equal ones, the highest.

    Samples of one model are nearer to each other than answers of an inventive author, so a low threshold would join
    too many of them.
    """
    errors = [errors_at(similarities, threshold).balanced for threshold in thresholds]
    return max(t for t, error in zip(thresholds, errors, strict=True) if error == min(errors))
