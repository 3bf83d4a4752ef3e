"""How different the words of a prompt's samples are.

Shape letters: N samples, T words of all samples one after the other, P pairs of a sample and an n-gram in it,
G n-grams.
"""

from __future__ import annotations

import gzip
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from slr.metrics.pass_at_k import pass_at_k_curve

SMOOTHING_COUNT = 0.1
"""Matches assumed for an order of n-grams without any: method 1 of Chen and Cherry 2014, nltk's epsilon."""

_WORD = re.compile(r"\w+(?:'\w+)*")


def words(text: str) -> list[str]:
    """The words of a text, lowercased: runs of letters, digits and underscores, with apostrophes inside.

    The one tokenizer of all word metrics. Punctuation is dropped, a hyphen separates, and a curly apostrophe is
    a straight one: ``words("Don’t re-do 'it'") == ["don't", "re", "do", "it"]``.
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def distinct_n(texts: Sequence[str], n: int) -> float | None:
    """Different n-grams over all n-grams, pooled over the samples of a prompt; None if there are no n-grams.

    N-grams do not run from one sample into the next. Falls with the number of words, so compare equal numbers
    of samples of like length.

    Source: Li et al. 2016 (arXiv 1510.03055).

    Raises:
        ValueError: if n is below 1.
    """
    _check_order("n", n)
    counts: Counter[tuple[str, ...]] = Counter()
    for tokens in _tokenize(texts):
        counts.update(zip(*(tokens[shift:] for shift in range(n)), strict=False))
    return len(counts) / counts.total() if counts else None


def self_bleu(texts: Sequence[str], max_n: int = 4) -> float | None:
    """Mean over the samples of the sentence BLEU of each against all the others; None if fewer than two.

    BLEU is ``b * exp(mean over n = 1..max_n of log p_n)``. ``p_n`` is the share of the sample's n-grams that
    are matched, an n-gram at most as often as in the other sample that has it most often. ``b`` is
    ``min(1, exp(1 - r / h))`` for a sample of h words, where r is the length nearest to h among the others, the
    smaller of two.

    Edge cases are those of nltk's ``sentence_bleu`` with ``SmoothingFunction().method1``, to which this is
    equal: a sample that shares no word with another, or has none, scores 0; an order without matches has
    ``p_n = 0.1 / (its n-grams)``, or 0.1 where the sample is too short for it. So two equal one-word samples
    score ``0.1 ** (3 / 4)``, not 1, and samples without words 0.

    The time is that of sorting the n-grams, whatever the number of samples.

    Source: Zhu et al. 2018 (Texygen, arXiv 1802.01886); Papineni et al. 2002; Chen and Cherry 2014.

    Raises:
        ValueError: if max_n is below 1.
    """
    _check_order("max_n", max_n)
    tokenized = _tokenize(texts)
    if len(tokenized) < 2:
        return None
    orders = list(_ngram_matches(tokenized, max_n))
    log_precision_N = sum(_log_precisions(matches_N, totals_N) for matches_N, totals_N in orders) / max_n
    bleu_N = _brevity_penalties([len(tokens) for tokens in tokenized]) * np.exp(log_precision_N)
    shares_word_N = orders[0][0] > 0
    return float(np.where(shares_word_N, bleu_N, 0.0).mean())


def compression_ratio(texts: Sequence[str]) -> float | None:
    """Bytes of the texts over their bytes after gzip at level 9; higher is more repetitive.

    The texts are joined by newlines in UTF-8. Below 1 where the header outweighs the gain, for short texts. None
    if no text has a character. Gzip looks back 32 KiB only, so repetition farther apart does not count.

    Source: Shaib et al. 2024 (arXiv 2403.00553).
    """
    _check_texts(texts)
    if not any(texts):
        return None
    data = "\n".join(texts).encode()
    return len(data) / len(gzip.compress(data, compresslevel=9, mtime=0))


def vocabulary_growth(texts: Sequence[str]) -> tuple[float, ...]:
    """Expected number of different words in k of the n texts, for k from 1 to n; empty without texts.

    ``sum over words of 1 - C(n - m, k) / C(n, k)`` for a word in m texts: the exact mean over all orders of
    the texts, not a sample of orders.

    Source: rarefaction, Hurlbert 1971 (Ecology 52), with texts as the units drawn.
    """
    tokenized = _tokenize(texts)
    num_texts_with = Counter(word for tokens in tokenized for word in set(tokens))
    expected_K = np.zeros(len(tokenized))
    # Words in equally many texts have the same curve.
    for num_texts, num_words in Counter(num_texts_with.values()).items():
        expected_K += num_words * pass_at_k_curve(len(tokenized), num_texts)
    return tuple(float(expected) for expected in expected_K)


def _ngram_matches(
    tokenized: Sequence[Sequence[str]], max_n: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For n = 1..max_n, each sample's number of n-grams that the others match, and of all its n-grams."""
    vocabulary: dict[str, int] = {}
    word_T = np.array(
        [vocabulary.setdefault(word, len(vocabulary)) for tokens in tokenized for word in tokens],
        dtype=np.int64,
    )
    lengths = [len(tokens) for tokens in tokenized]
    sample_T = np.repeat(np.arange(len(tokenized)), lengths)
    ngram_T = np.zeros_like(word_T)  # the n-gram that starts at each word, by number; of no words at first
    for n in range(1, max_n + 1):
        # An n-gram is the (n-1)-gram and one word more; numbered anew at each n, it never overflows.
        num_starts = max(0, len(word_T) - n + 1)
        longer_T = ngram_T[:num_starts] * len(vocabulary) + word_T[n - 1 :]
        ngram_T = np.unique(longer_T, return_inverse=True)[1]
        inside_T = sample_T[:num_starts] == sample_T[n - 1 :]
        yield _matches(ngram_T[inside_T], sample_T[:num_starts][inside_T], len(tokenized))


def _matches(
    ngram_T: NDArray[np.int64], sample_T: NDArray[np.int64], num_samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matches and totals of each sample, shape (N,) both, for n-grams by number and the samples they are in.

    Two counts of each n-gram suffice: the largest of the others is the largest of all, except for the sample
    that has it, for which it is the second.
    """
    pair_P, count_P = np.unique(ngram_T * num_samples + sample_T, return_counts=True)
    ngram_P, sample_P = np.divmod(pair_P, num_samples)
    order_P = np.lexsort((count_P, ngram_P))  # the sample with the largest count comes last of each n-gram
    count_P, ngram_P, sample_P = count_P[order_P], ngram_P[order_P], sample_P[order_P]
    last_G = np.flatnonzero(np.diff(ngram_P, append=-1))
    size_G = np.diff(last_G, prepend=-1)
    others_P = np.repeat(count_P[last_G], size_G)
    # Where no other sample has the n-gram, the index points elsewhere, and what is there is not used.
    others_P[last_G] = np.where(size_G > 1, count_P[last_G - 1], 0)
    matches_N = np.bincount(sample_P, np.minimum(count_P, others_P), minlength=num_samples)
    totals_N = np.bincount(sample_P, count_P, minlength=num_samples)
    return matches_N.astype(np.float64), totals_N.astype(np.float64)


def _log_precisions(matches_N: NDArray[np.float64], totals_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logs of the smoothed shares of matched n-grams, where a sample without n-grams counts as one of one."""
    return np.log(np.where(matches_N > 0, matches_N, SMOOTHING_COUNT) / np.maximum(totals_N, 1))


def _brevity_penalties(lengths: Sequence[int]) -> NDArray[np.float64]:
    """BLEU's penalty of each sample for being shorter than the nearest other, shape (N,)."""
    ordered = sorted(lengths)
    penalties = []
    for length in lengths:
        first = bisect_left(ordered, length)
        # Its neighbours are the nearest others: one of them is as long if any other sample is.
        others = ordered[max(0, first - 1) : first] + ordered[first + 1 : first + 2]
        _, nearest = min((abs(other - length), other) for other in others)
        penalties.append(math.exp(min(0.0, 1 - nearest / length)) if length else 0.0)
    return np.array(penalties)


def _tokenize(texts: Sequence[str]) -> list[list[str]]:
    _check_texts(texts)
    return [words(text) for text in texts]


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ValueError(f"got one text, {texts[:40]!r}: expected a sequence of texts, one a sample")


def _check_order(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}: expected n-grams of at least one word")
