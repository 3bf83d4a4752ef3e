"""How different the words of a prompt's samples are.

Shape letters: X texts (samples of one prompt), T words of all samples one after the other, O occurrences
(pairs of a sample and a different n-gram in it), M different n-grams, K numbers of samples drawn.
"""

from __future__ import annotations

import gzip
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from slr.metrics.words import words

SMOOTHING_COUNT = 0.1
"""Number of matches assumed for an order of n-grams that has none.

Source: method 1 of Chen and Cherry 2014, nltk's epsilon.
"""


def num_words(text: str) -> int:
    """Number of words of a text, by the rule of ``slr.metrics.words``."""
    return len(words(text))


def median_words(texts: Sequence[str]) -> float | None:
    """Median number of words over the texts; None without texts.

    A text without words counts as 0. Report it together with every lexical metric, because all of them depend
    on length.
    """
    lengths = [len(tokens) for tokens in _tokenize(texts)]
    return float(median(lengths)) if lengths else None


def distinct_n(texts: Sequence[str], n: int, first_words: int | None = None) -> float | None:
    """Compute the share of different n-grams among all n-grams of a prompt's samples; None if there are no n-grams.

    N-grams do not run from one sample into the next. The share falls as the number of words grows, so it
    compares only equal numbers of samples of similar length. ``first_words`` leaves out the rest of each
    longer sample. A shorter sample then counts with all its words, so it has fewer n-grams than the others:
    lengths are equal only up to the shortest sample. A sample of fewer than n words has no n-grams and does
    not change the share.

    Source: Li et al. 2016 (arXiv 1510.03055).

    Args:
        texts: the samples of one prompt.
        n: number of words in an n-gram.
        first_words: number of words that count in each sample; all by default.

    Raises:
        ValueError: if n or first_words is below 1.
    """
    _check_order("n", n)
    if first_words is not None and first_words < 1:
        raise ValueError(f"first_words is {first_words}: expected at least one word, or None for all")
    counts: Counter[tuple[str, ...]] = Counter()
    for tokens in _tokenize(texts):
        counted = tokens[:first_words]
        counts.update(zip(*(counted[shift:] for shift in range(n)), strict=False))
    return len(counts) / counts.total() if counts else None


def self_bleu(texts: Sequence[str], max_order: int = 4, effective_order: bool = True) -> float | None:
    """Compute the mean sentence BLEU of each sample against all the others; None if there are fewer than two.

    The BLEU of a sample of h words is ``b * exp(mean over n = 1..m of log p_n)``, or 0 if it shares no word
    with another sample. ``p_n`` is the share of the sample's n-grams that are matched. An n-gram is matched
    at most as often as the other sample with most of it has it. Where no n-gram is matched, 0.1 of one is
    assumed to be. ``b`` is ``min(1, exp(1 - r / h))``, where r is the length nearest to h among the others,
    or the smaller of two equally near ones.

    With effective order, ``m = min(max_order, h)``: only the orders count of which the sample has n-grams.
    Therefore equal samples score 1, however short they are. Samples without words are left out, and the
    result is None if fewer than two have words. This is the mean of sacrebleu's sentence BLEU with
    ``effective_order=True`` and floor smoothing of 0.1, and of nltk's with method 1 and ``auto_reweigh=True``
    (for a max_order of 4).

    Without effective order, ``m = max_order``, and ``p_n = 0.1`` for an order that a sample is too short for.
    This is nltk's ``sentence_bleu`` with ``SmoothingFunction().method1`` in all its conventions: two equal
    samples of one word score ``0.1 ** (3 / 4)``, and a sample without words counts and scores 0.

    The time is the time to sort the n-grams, whatever the number of samples.

    Source: Zhu et al. 2018 (Texygen, arXiv 1802.01886); Papineni et al. 2002; smoothing: method 1 of Chen and
    Cherry 2014; effective order: Post 2018 (sacrebleu, arXiv 1804.08771).

    Args:
        texts: the samples of one prompt.
        max_order: number of words in the longest n-grams.
        effective_order: whether a sample is scored only by the orders that it is long enough for.

    Raises:
        ValueError: if max_order is below 1.
    """
    _check_order("max_order", max_order)
    tokenized = [tokens for tokens in _tokenize(texts) if tokens or not effective_order]
    if len(tokenized) < 2:
        return None
    length_X = np.array([len(tokens) for tokens in tokenized])
    num_orders_X = np.minimum(length_X, max_order) if effective_order else max_order
    orders = list(_ngram_matches(tokenized, max_order))
    log_precision_X = sum(_log_precisions(*order, skip_missing=effective_order) for order in orders)
    bleu_X = _brevity_penalties(length_X.tolist()) * np.exp(log_precision_X / num_orders_X)
    shares_word_X = orders[0][0] > 0
    return float(np.where(shares_word_X, bleu_X, 0.0).mean())


def compression_ratio(texts: Sequence[str]) -> float | None:
    """Compute the bytes of the texts over their bytes after gzip; a higher ratio means more repetition.

    The texts are joined by newlines, in UTF-8, and compressed at level 9. In short texts the ratio is below
    1, because the header is larger than the gain. It rises with the length of the texts. Gzip looks back only
    32 KiB, so it does not see repetition farther apart.

    Source: Shaib et al. 2024 (arXiv 2403.00553).

    Returns:
        The ratio; None if all texts are blank.
    """
    _check_texts(texts)
    if not any(text.strip() for text in texts):
        return None
    data = "\n".join(texts).encode()
    return len(data) / len(gzip.compress(data, compresslevel=9, mtime=0))


def _ngram_matches(
    tokenized: Sequence[Sequence[str]], max_order: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Count matches for n = 1..max_order.

    Yields:
        For each n, the number of n-grams of each sample that the others match, and the number of all its
        n-grams, shape (X,) both.
    """
    vocabulary: dict[str, int] = {}
    word_T = np.array(
        [vocabulary.setdefault(word, len(vocabulary)) for tokens in tokenized for word in tokens],
        dtype=np.int64,
    )
    lengths = [len(tokens) for tokens in tokenized]
    sample_T = np.repeat(np.arange(len(tokenized)), lengths)
    # The number of the n-gram that starts at each word. It begins with n = 0, where all are the same empty n-gram.
    ngram_T = np.zeros_like(word_T)
    for n in range(1, max_order + 1):
        num_starts = max(0, len(word_T) - n + 1)
        # An n-gram is an (n-1)-gram and one more word. Numbering them anew for each n keeps the numbers small, so
        # the product below never overflows.
        longer_T = ngram_T[:num_starts] * len(vocabulary) + word_T[n - 1 :]
        ngram_T = np.unique(longer_T, return_inverse=True)[1]
        # All samples stand in one array, so n-grams that run from one sample into the next are dropped here.
        inside_T = sample_T[:num_starts] == sample_T[n - 1 :]
        yield _matches(ngram_T[inside_T], sample_T[:num_starts][inside_T], len(tokenized))


def _matches(
    ngram_T: NDArray[np.int64], sample_T: NDArray[np.int64], num_samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count the matched and all n-grams of each sample, shape (X,) both.

    Args:
        ngram_T: number of the n-gram at each place.
        sample_T: number of the sample at each place.
        num_samples: number of samples X.
    """
    # BLEU clips a sample's count of an n-gram at the largest count among the *other* samples. To compare all pairs
    # of samples would take quadratic time. Two counts for each n-gram suffice: the largest of the others is the
    # largest of all, except for the one sample that has the largest. For it, it is the second largest.
    pair_O, count_O = np.unique(ngram_T * num_samples + sample_T, return_counts=True)
    ngram_O, sample_O = np.divmod(pair_O, num_samples)
    # Sorted by n-gram and then by count, so that the largest count of each n-gram stands at the end of its run.
    order_O = np.lexsort((count_O, ngram_O))
    count_O, ngram_O, sample_O = count_O[order_O], ngram_O[order_O], sample_O[order_O]
    last_M = np.flatnonzero(np.diff(ngram_O, append=-1))
    size_M = np.diff(last_M, prepend=-1)
    others_O = np.repeat(count_O[last_M], size_M)
    # An n-gram in one sample only has no second count: the index then points into another run, and 0 is used.
    others_O[last_M] = np.where(size_M > 1, count_O[last_M - 1], 0)
    matches_X = np.bincount(sample_O, np.minimum(count_O, others_O), minlength=num_samples)
    totals_X = np.bincount(sample_O, count_O, minlength=num_samples)
    return matches_X.astype(np.float64), totals_X.astype(np.float64)


def _log_precisions(
    matches_X: NDArray[np.float64], totals_X: NDArray[np.float64], *, skip_missing: bool
) -> NDArray[np.float64]:
    """Compute the logs of the smoothed shares of matched n-grams, shape (X,).

    Args:
        matches_X: number of matched n-grams of each sample.
        totals_X: number of all n-grams of each sample.
        skip_missing: whether a sample without n-grams of this order gets 0, which skips the order. Otherwise
            it is treated as if it had one n-gram.
    """
    matched_X = np.where(matches_X > 0, matches_X, SMOOTHING_COUNT)
    if skip_missing:
        matched_X = np.where(totals_X > 0, matched_X, 1.0)
    return np.log(matched_X / np.maximum(totals_X, 1))


def _brevity_penalties(lengths: Sequence[int]) -> NDArray[np.float64]:
    """Compute BLEU's penalty of each sample for being shorter than the nearest other sample, shape (X,)."""
    ordered = sorted(lengths)
    penalties = []
    for length in lengths:
        first = bisect_left(ordered, length)
        # In sorted order the neighbours are the nearest lengths. A second sample of the same length is one of them.
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
