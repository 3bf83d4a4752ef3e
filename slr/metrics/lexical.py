"""How different the words of a prompt's samples are.

Shape letters: N samples, T words of all samples one after the other, P pairs of a sample and an n-gram in it,
G n-grams.
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

from slr.metrics.pass_at_k import pass_at_k_curve
from slr.metrics.words import words

SMOOTHING_COUNT = 0.1
"""Matches assumed of an order of n-grams without any: method 1 of Chen and Cherry 2014, nltk's epsilon."""


def num_words(text: str) -> int:
    """Number of words of a text, by the rule of ``slr.metrics.words``."""
    return len(words(text))


def median_words(texts: Sequence[str]) -> float | None:
    """Median number of words of a text, where a text without words counts as 0; None without texts.

    It belongs beside every metric that depends on length, which all lexical ones do.
    """
    lengths = [len(tokens) for tokens in _tokenize(texts)]
    return float(median(lengths)) if lengths else None


def distinct_n(texts: Sequence[str], n: int, first_words: int | None = None) -> float | None:
    """Different n-grams over all n-grams, pooled over the samples of a prompt; None if there are no n-grams.

    N-grams do not run from one sample into the next. The value falls with the number of words, so it compares
    equal numbers of samples of like length only. With ``first_words`` the rest of each longer sample is left out.
    A shorter sample then counts with all its words, and so with fewer n-grams than the others: lengths are equal
    only up to the shortest. A sample of fewer than n words has no n-grams at all, and does not change the value.

    Source: Li et al. 2016 (arXiv 1510.03055).

    Args:
        texts: the samples of one prompt.
        n: words in an n-gram.
        first_words: number of words that count of each sample; all by default.

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
    """Mean over the samples of the sentence BLEU of each against all the others; None if fewer than two.

    BLEU of a sample of h words is ``b * exp(mean over n = 1..m of log p_n)``, or 0 if it shares no word with
    another. ``p_n`` is the share of the sample's n-grams that are matched, an n-gram at most as often as in the
    other sample that has it most often; where none is matched, 0.1 of one is taken to be. ``b`` is
    ``min(1, exp(1 - r / h))``, where r is the length nearest to h among the others, the smaller of two.

    With effective order, ``m = min(max_order, h)``: only orders of which the sample has n-grams. So samples that
    all are equal have 1, however short they are. Samples without words are left out, and None is the value if
    fewer than two have any. This is the mean of sacrebleu's sentence BLEU with ``effective_order=True`` and
    floor smoothing of 0.1, and of nltk's with method 1 and ``auto_reweigh=True`` (for a max_order of 4).

    Without it, ``m = max_order``, and an order that a sample is too short for has ``p_n = 0.1``. This is nltk's
    ``sentence_bleu`` with ``SmoothingFunction().method1``, to the last conventions: two equal one-word samples
    score ``0.1 ** (3 / 4)``, and a sample without words counts and scores 0.

    The time is that of sorting the n-grams, whatever the number of samples.

    Source: Zhu et al. 2018 (Texygen, arXiv 1802.01886); Papineni et al. 2002; smoothing: method 1 of Chen and
    Cherry 2014; effective order: Post 2018 (sacrebleu, arXiv 1804.08771).

    Args:
        texts: the samples of one prompt.
        max_order: words in the longest n-grams.
        effective_order: whether a sample is scored by the orders only that it is long enough for.

    Raises:
        ValueError: if max_order is below 1.
    """
    _check_order("max_order", max_order)
    tokenized = [tokens for tokens in _tokenize(texts) if tokens or not effective_order]
    if len(tokenized) < 2:
        return None
    length_N = np.array([len(tokens) for tokens in tokenized])
    num_orders_N = np.minimum(length_N, max_order) if effective_order else max_order
    orders = list(_ngram_matches(tokenized, max_order))
    log_precision_N = sum(_log_precisions(*order, skip_missing=effective_order) for order in orders)
    bleu_N = _brevity_penalties(length_N.tolist()) * np.exp(log_precision_N / num_orders_N)
    shares_word_N = orders[0][0] > 0
    return float(np.where(shares_word_N, bleu_N, 0.0).mean())


def compression_ratio(texts: Sequence[str]) -> float | None:
    """Bytes of the texts over their bytes after gzip at level 9; higher is more repetitive.

    The texts are joined by newlines in UTF-8. Below 1 where the header outweighs the gain, in short texts. Rises
    with the length of the texts. Gzip looks back 32 KiB only, so repetition farther apart does not count. None if
    all texts are blank.

    Source: Shaib et al. 2024 (arXiv 2403.00553).
    """
    _check_texts(texts)
    if not any(text.strip() for text in texts):
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
    tokenized: Sequence[Sequence[str]], max_order: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For n = 1..max_order, each sample's number of n-grams that the others match, and of all its n-grams."""
    vocabulary: dict[str, int] = {}
    word_T = np.array(
        [vocabulary.setdefault(word, len(vocabulary)) for tokens in tokenized for word in tokens],
        dtype=np.int64,
    )
    lengths = [len(tokens) for tokens in tokenized]
    sample_T = np.repeat(np.arange(len(tokenized)), lengths)
    ngram_T = np.zeros_like(word_T)  # the n-gram that starts at each word, by number; of no words at first
    for n in range(1, max_order + 1):
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


def _log_precisions(
    matches_N: NDArray[np.float64], totals_N: NDArray[np.float64], *, skip_missing: bool
) -> NDArray[np.float64]:
    """Logs of the smoothed shares of matched n-grams; those of a sample without n-grams are skipped, or as of one."""
    matched_N = np.where(matches_N > 0, matches_N, SMOOTHING_COUNT)
    if skip_missing:
        matched_N = np.where(totals_N > 0, matched_N, 1.0)
    return np.log(matched_N / np.maximum(totals_N, 1))


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
