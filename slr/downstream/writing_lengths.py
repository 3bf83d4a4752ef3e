"""Lengths of creative texts, at which the texts of several methods are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from slr.downstream.sampled_answers import readable_answers
from slr.metrics.lexical import median_words
from slr.metrics.words import words
from slr.runs.records import Samples

FEWEST_FIRST_WORDS = 4
"""Smallest number of words at which distinct-n is compared at equal length, so that n-grams up to n = 4 fit."""


@dataclass(frozen=True, kw_only=True)
class WritingLengths:
    """Lengths that are taken over all methods of a group, and that some metrics depend on.

    Attributes:
        first_words: number of words of each text at which distinct-n is compared at equal length.
        vocabulary: number of different words of all texts.
    """

    first_words: int
    vocabulary: int


NO_LENGTHS = WritingLengths(first_words=0, vocabulary=0)
"""Lengths of tasks whose metrics depend on none."""


def lengths_of(samples: Iterable[Samples]) -> WritingLengths:
    """Find the lengths of a group of samples of all methods.

    Methods are compared at the smallest median number of words of any of them.
    """
    texts: dict[str, list[str]] = {}
    for record in samples:
        texts.setdefault(record.method, []).extend(readable_answers(record))
    medians = [median for of_method in texts.values() if (median := median_words(of_method)) is not None]
    return WritingLengths(
        first_words=max(FEWEST_FIRST_WORDS, math.floor(min(medians, default=0))),
        vocabulary=len({word for of_method in texts.values() for text in of_method for word in words(text)}),
    )
