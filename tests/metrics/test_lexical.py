from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest

from slr.metrics.lexical import compression_ratio, distinct_n, num_words, self_bleu
from slr.metrics.words import words

T = TypeVar("T")

HARD_CASES = {
    "identical": ["the cat sat on the mat", "the cat sat on the mat"],
    "three identical": ["a b c d e"] * 3,
    "disjoint": ["one two three four", "five six seven eight"],
    "all empty": ["", ""],
    "one empty": ["", "a b c d e f"],
    "only punctuation": ["...", "?!", "a"],
    "one word, equal": ["yes", "yes"],
    "one word, different": ["yes", "no"],
    "shorter than four": ["a b", "a b c", "b c"],
    "repeated word": ["a a a a a a", "a a b", "a"],
    "no long matches": ["a x b y c z", "a b c x y z"],
    "tied lengths": ["a b c d e", "a b c", "a b c d e f g"],
    "tied counts": ["a a b", "a a c", "a d"],
}


def nltk_self_bleu(texts: list[str], max_n: int = 4) -> float:
    bleu_score = pytest.importorskip("nltk.translate.bleu_score")
    tokenized = [words(text) for text in texts]
    scores = [
        bleu_score.sentence_bleu(
            tokenized[:i] + tokenized[i + 1 :],
            tokenized[i],
            weights=(1 / max_n,) * max_n,
            smoothing_function=bleu_score.SmoothingFunction().method1,
        )
        for i in range(len(tokenized))
    ]
    return float(np.mean(scores))


def plain_self_bleu(texts: list[str], max_order: int) -> float | None:
    """By the definition, of texts with words: a dictionary for each order and text, orders up to the text's length."""
    tokenized = [words(text) for text in texts if words(text)]
    if len(tokenized) < 2:
        return None
    return float(np.mean([plain_bleu(one, others, max_order) for one, others in each_and_others(tokenized)]))


def plain_bleu(candidate: list[str], references: list[list[str]], max_order: int) -> float:
    if not any(word in reference for word in candidate for reference in references):
        return 0.0
    logs = []
    for n in range(1, min(max_order, len(candidate)) + 1):
        counts = ngram_counts(candidate, n)
        clipped = {
            gram: min(count, max(ngram_counts(reference, n)[gram] for reference in references))
            for gram, count in counts.items()
        }
        logs.append(np.log((sum(clipped.values()) or 0.1) / counts.total()))
    nearest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in references)[1]
    return float(min(1.0, np.exp(1 - nearest / len(candidate))) * np.exp(np.mean(logs)))


def ngram_counts(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


def each_and_others(items: list[T]) -> Iterator[tuple[T, list[T]]]:
    for index, item in enumerate(items):
        yield item, items[:index] + items[index + 1 :]


def random_texts(rng: np.random.Generator) -> list[str]:
    """2 to 8 texts of up to 14 words, of a vocabulary so small that all kinds of matches occur."""
    vocabulary_size = int(rng.integers(1, 9))
    lengths = rng.integers(0, 15, size=rng.integers(2, 9))
    return [" ".join(f"w{i}" for i in rng.integers(vocabulary_size, size=length)) for length in lengths]


def test_distinct_n() -> None:
    assert distinct_n(["a b a", "a b"], 1) == 2 / 5
    assert distinct_n(["a b a", "a b"], 2) == 2 / 3  # ab, ba | ab: none from one text into the next
    assert distinct_n(["a b", "c d"], 1) == 1.0
    assert distinct_n(["same words"] * 4, 2) == 1 / 4
    assert distinct_n(["word"], 1) == 1.0


def test_distinct_n_of_the_first_words() -> None:
    assert distinct_n(["a b c d", "a b x y"], 1, first_words=2) == 2 / 4
    assert distinct_n(["a b c d", "a b x y"], 2, first_words=3) == 3 / 4  # ab, bc | ab, bx
    assert distinct_n(["a b c", "a"], 1, first_words=2) == 2 / 3  # a shorter one counts with all its words
    assert distinct_n(["a b c", "a"], 2, first_words=2) == 1.0
    assert distinct_n(["a b c"], 2, first_words=1) is None
    texts = random_texts(np.random.default_rng(3))
    assert distinct_n(texts, 2, first_words=100) == distinct_n(texts, 2)


def test_distinct_n_at_equal_length_does_not_fall_with_length() -> None:
    """The first words of long texts of one source are no less distinct than short texts of it."""
    numbers = np.random.default_rng(4).zipf(1.5, size=(32, 200))
    long = [" ".join(map(str, row)) for row in numbers]
    short = [" ".join(map(str, row[:10])) for row in numbers]
    of_long, of_short = distinct_n(long, 1), distinct_n(short, 1)
    assert of_long is not None
    assert of_short is not None
    assert of_long < of_short / 2
    assert distinct_n(long, 1, first_words=10) == of_short


@pytest.mark.parametrize(
    ("texts", "n"), [([], 1), ([""], 1), ([" ", "..."], 1), (["one", "two"], 2), (["a b", ""], 3)]
)
def test_distinct_n_without_ngrams_is_none(texts: list[str], n: int) -> None:
    assert distinct_n(texts, n) is None


@pytest.mark.parametrize("texts", HARD_CASES.values(), ids=HARD_CASES)
@pytest.mark.parametrize("max_order", [1, 2, 4, 6])
def test_self_bleu_over_all_orders_is_nltks_on_hard_cases(texts: list[str], max_order: int) -> None:
    ours = self_bleu(texts, max_order, effective_order=False)
    assert ours == pytest.approx(nltk_self_bleu(texts, max_order), abs=1e-12)


def test_self_bleu_over_all_orders_is_nltks_on_random_texts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        texts = random_texts(rng)
        ours = self_bleu(texts, effective_order=False)
        assert ours == pytest.approx(nltk_self_bleu(texts), abs=1e-12), texts


@pytest.mark.parametrize("max_order", [1, 2, 4, 6])
def test_self_bleu_is_that_of_a_plain_loop(max_order: int) -> None:
    rng = np.random.default_rng(1)
    for texts in [*HARD_CASES.values(), *(random_texts(rng) for _ in range(200))]:
        expected = plain_self_bleu(texts, max_order)
        ours = self_bleu(texts, max_order)
        assert ours == (None if expected is None else pytest.approx(expected, abs=1e-12)), texts


def test_self_bleu_is_sacrebleus_with_effective_order() -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics.bleu")
    rng = np.random.default_rng(2)
    for max_order in (1, 2, 4, 6):
        bleu = sacrebleu.BLEU(
            tokenize="none",
            smooth_method="floor",
            smooth_value=0.1,
            max_ngram_order=max_order,
            effective_order=True,
        )
        for texts in [*HARD_CASES.values(), *(random_texts(rng) for _ in range(60))]:
            written = [text for text in texts if words(text)]
            scores = [
                bleu.sentence_score(" ".join(words(text)), [" ".join(words(t)) for t in others]).score / 100
                for text, others in each_and_others(written)
                if others
            ]
            expected = pytest.approx(np.mean(scores), abs=1e-9) if scores else None
            assert self_bleu(texts, max_order) == expected, texts


def test_self_bleu_is_nltks_with_auto_reweigh() -> None:
    bleu_score = pytest.importorskip("nltk.translate.bleu_score")
    rng = np.random.default_rng(5)
    for _ in range(100):
        texts = [text for text in random_texts(rng) if text]
        scores = [
            bleu_score.sentence_bleu(
                [words(other) for other in others],
                words(text),
                smoothing_function=bleu_score.SmoothingFunction().method1,
                auto_reweigh=True,
            )
            for text, others in each_and_others(texts)
            if others
        ]
        assert self_bleu(texts) == (pytest.approx(np.mean(scores), abs=1e-12) if scores else None)


def test_self_bleu_by_hand() -> None:
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1.0, abs=1e-15)
    assert self_bleu(["a b c d", "e f g h"]) == 0.0
    # "a b": penalty exp(1 - 4/2), all matched. "a b c d": 2 of 4 words and 1 of 3 bigrams.
    expected = (np.exp(-1) + np.sqrt(2 / 4 * 1 / 3)) / 2
    assert self_bleu(["a b", "a b c d"], max_order=2) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("text", ["yes", "yes sir", "one two three", "🔥", "京", "हिन्दी"])
def test_equal_texts_have_a_self_bleu_of_one_however_short(text: str) -> None:
    assert self_bleu([text] * 4) == pytest.approx(1.0, abs=1e-15)
    assert self_bleu([text, "no"]) == 0.0
    missing = 0.1 ** (max(0, 4 - num_words(text)) / 4)
    assert self_bleu([text] * 4, effective_order=False) == pytest.approx(missing, abs=1e-15)


def test_self_bleu_of_short_texts_among_long_ones() -> None:
    # "a" is matched and short of three words; "a b c" matches 1 of 3 words, and no bigram or trigram.
    expected = (np.exp(1 - 3 / 1) + (1 / 3 * 0.1 / 2 * 0.1 / 1) ** (1 / 3)) / 2
    assert self_bleu(["a", "a b c"]) == pytest.approx(expected, abs=1e-15)


def test_self_bleu_does_not_depend_on_the_order() -> None:
    texts = HARD_CASES["tied lengths"] + HARD_CASES["tied counts"]
    assert self_bleu(texts[::-1]) == pytest.approx(self_bleu(texts), abs=1e-15)


@pytest.mark.parametrize("texts", [[], ["only one text here"]])
def test_self_bleu_of_fewer_than_two_is_none(texts: list[str]) -> None:
    assert self_bleu(texts) is None
    assert self_bleu(texts, effective_order=False) is None


def test_texts_without_words_have_no_self_bleu() -> None:
    assert self_bleu(["", " ", "...", "_"]) is None
    assert self_bleu(["one text", "...", ""]) is None
    assert self_bleu(["one text", "...", "one text", ""]) == pytest.approx(1.0, abs=1e-15)


def test_compression_ratio() -> None:
    texts = ["the same words again and again"] * 20
    joined = "\n".join(texts).encode()
    ratio = compression_ratio(texts)
    assert ratio == len(joined) / len(gzip.compress(joined, 9))
    assert ratio is not None
    assert ratio > 10
    letters = np.random.default_rng(0).integers(97, 123, size=(20, 30), dtype=np.uint8)
    varied = compression_ratio([row.tobytes().decode() for row in letters])
    assert varied is not None
    assert varied < 2
    assert compression_ratio(["é"]) == 2 / len(gzip.compress("é".encode(), 9))


@pytest.mark.parametrize("texts", [[], [""], ["", ""], [" ", "\n\t"]])
def test_compression_ratio_of_nothing_is_none(texts: list[str]) -> None:
    assert compression_ratio(texts) is None


def test_refuses_ngrams_of_no_words() -> None:
    with pytest.raises(ValueError, match="n is 0"):
        distinct_n(["a"], 0)
    with pytest.raises(ValueError, match="first_words is 0"):
        distinct_n(["a"], 1, first_words=0)
    with pytest.raises(ValueError, match="max_order is -1"):
        self_bleu(["a", "b"], -1)


def test_refuses_one_text_in_place_of_samples() -> None:
    with pytest.raises(ValueError, match="got one text, 'a b c'"):
        distinct_n("a b c", 1)
    with pytest.raises(ValueError, match="got one text"):
        self_bleu("a b c")
    with pytest.raises(ValueError, match="got one text"):
        compression_ratio("a b c")
