"""Mean ROUGE-L between the samples of a prompt: how much of their word order they share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import fsum

from slr.metrics.words import words


def mean_rouge_l(texts: Sequence[str]) -> float | None:
    """Mean F1 of ROUGE-L over the pairs of different samples, in [0, 1]; None if fewer than two have words.

    ``2 L / (a + b)`` for two samples of a and b words, whose longest common subsequence has L words.
    ``slr.metrics.words`` says what a word is. Samples without words are left out. The value is 1 if all samples are
    equal, and is what rouge-score gives with the same words. It is also known as the homogenization score.

    Sources: ROUGE-L is from Lin 2004, the mean over pairs from Padmakumar and He 2024 (arXiv 2309.05196), and the
    computation of the subsequence in the bits of one integer from Hyyrö 2004.

    Raises:
        ValueError: if one text is given in place of a sequence.
    """
    if isinstance(texts, str):
        raise ValueError(f"got one text, {texts[:40]!r}: expected a sequence of texts, one a sample")
    tokenized = [tokens for text in texts if (tokens := words(text))]
    if len(tokenized) < 2:
        return None
    places = [_places(tokens) for tokens in tokenized]
    scores = [
        2
        * _common_subsequence(places[one], len(tokenized[one]), tokenized[other])
        / (len(tokenized[one]) + len(tokenized[other]))
        for one, other in combinations(range(len(tokenized)), 2)
    ]
    return fsum(scores) / len(scores)


def _places(tokens: Sequence[str]) -> dict[str, int]:
    """For each word of a text the positions that it stands at, as bits of an integer."""
    places: dict[str, int] = {}
    for position, word in enumerate(tokens):
        places[word] = places.get(word, 0) | 1 << position
    return places


def _common_subsequence(places: dict[str, int], length: int, other: Sequence[str]) -> int:
    """Length of the longest common subsequence of a text, given by its places, and another.

    A zero bit marks a position at which the subsequence grows by one word. Each word of the other text updates all
    positions at once: the addition carries each growth to the next place of the word.
    """
    mask = (1 << length) - 1
    unmatched = mask
    for word in other:
        matched = unmatched & places.get(word, 0)
        unmatched = ((unmatched + matched) | (unmatched - matched)) & mask
    return length - unmatched.bit_count()
