"""Distinct words in proportion to what random words of the same number would have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from slr.metrics.words import words


def expectation_adjusted_distinct(texts: Sequence[str], vocabulary_size: int) -> float | None:
    """Different words over the number expected of equally many uniform draws; None if there are no words.

    ``D / (V (1 - (1 - 1/V)^C))`` for D different words among C, drawn from a vocabulary of V. Unlike distinct-1 it
    does not fall with length for words drawn uniformly. Natural words are far from uniform, so it still depends on
    length: compare texts of like length.

    Source: Liu et al. 2022 (arXiv 2202.13587), equation 5, with words as tokens.

    Args:
        texts: the samples of one prompt, pooled.
        vocabulary_size: V, the number of words to choose from; at least as many as the texts have.

    Raises:
        ValueError: if the vocabulary is smaller than the number of different words, or one text is given in place
            of a sequence.
    """
    if isinstance(texts, str):
        raise ValueError(f"got one text, {texts[:40]!r}: expected a sequence of texts, one a sample")
    tokens = [word for text in texts for word in words(text)]
    num_distinct = len(set(tokens))
    if vocabulary_size < max(num_distinct, 1):
        raise ValueError(
            f"vocabulary_size is {vocabulary_size}: expected at least 1 and at least the {num_distinct} different "
            "words of the texts"
        )
    if not tokens:
        return None
    # log1p and expm1 keep what 1 - 1/V loses for large vocabularies; V = 1 has one word for sure.
    share = 1.0 if vocabulary_size == 1 else -math.expm1(len(tokens) * math.log1p(-1 / vocabulary_size))
    return num_distinct / (vocabulary_size * share)
