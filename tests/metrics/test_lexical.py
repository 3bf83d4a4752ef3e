from __future__ import annotations

import gzip
from itertools import combinations

import numpy as np
import pytest

from slr.metrics.lexical import compression_ratio, distinct_n, self_bleu, vocabulary_growth, words

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


def random_texts(rng: np.random.Generator) -> list[str]:
    """2 to 8 texts of up to 14 words, of a vocabulary so small that all kinds of matches occur."""
    vocabulary_size = int(rng.integers(1, 9))
    lengths = rng.integers(0, 15, size=rng.integers(2, 9))
    return [" ".join(f"w{i}" for i in rng.integers(vocabulary_size, size=length)) for length in lengths]


def test_words() -> None:
    assert words("Don’t re-do 'it', O'Brien's 3.5!") == ["don't", "re", "do", "it", "o'brien's", "3", "5"]
    assert words("Été naïve ÇA") == ["été", "naïve", "ça"]
    assert words("dogs' 'tis") == ["dogs", "tis"]
    assert words(" ... ") == []


def test_distinct_n() -> None:
    assert distinct_n(["a b a", "a b"], 1) == 2 / 5
    assert distinct_n(["a b a", "a b"], 2) == 2 / 3  # ab, ba | ab: none from one text into the next
    assert distinct_n(["a b", "c d"], 1) == 1.0
    assert distinct_n(["same words"] * 4, 2) == 1 / 4
    assert distinct_n(["word"], 1) == 1.0


@pytest.mark.parametrize(("texts", "n"), [([], 1), ([""], 1), (["one", "two"], 2), (["a b", ""], 3)])
def test_distinct_n_without_ngrams_is_none(texts: list[str], n: int) -> None:
    assert distinct_n(texts, n) is None


@pytest.mark.parametrize("texts", HARD_CASES.values(), ids=HARD_CASES)
@pytest.mark.parametrize("max_n", [1, 2, 4, 6])
def test_self_bleu_is_nltks_on_hard_cases(texts: list[str], max_n: int) -> None:
    assert self_bleu(texts, max_n) == pytest.approx(nltk_self_bleu(texts, max_n), abs=1e-12)


def test_self_bleu_is_nltks_on_random_texts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        texts = random_texts(rng)
        assert self_bleu(texts) == pytest.approx(nltk_self_bleu(texts), abs=1e-12), texts


def test_self_bleu_by_hand() -> None:
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1.0, abs=1e-15)
    assert self_bleu(["a b c d", "e f g h"]) == 0.0
    assert self_bleu(["yes", "yes"]) == pytest.approx(0.1**0.75, abs=1e-15)
    # "a b": penalty exp(1 - 4/2), all matched. "a b c d": 2 of 4 words and 1 of 3 bigrams.
    expected = (np.exp(-1) + np.sqrt(2 / 4 * 1 / 3)) / 2
    assert self_bleu(["a b", "a b c d"], max_n=2) == pytest.approx(expected, abs=1e-15)


def test_self_bleu_does_not_depend_on_the_order() -> None:
    texts = HARD_CASES["tied lengths"] + HARD_CASES["tied counts"]
    assert self_bleu(texts[::-1]) == pytest.approx(self_bleu(texts), abs=1e-15)


@pytest.mark.parametrize("texts", [[], ["only one text here"]])
def test_self_bleu_of_fewer_than_two_is_none(texts: list[str]) -> None:
    assert self_bleu(texts) is None


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


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_compression_ratio_of_nothing_is_none(texts: list[str]) -> None:
    assert compression_ratio(texts) is None


def test_vocabulary_growth_is_the_mean_over_subsets() -> None:
    texts = ["a b c", "a a d", "", "a b e f", "g"]
    bags = [set(words(text)) for text in texts]
    expected = [np.mean([len(set().union(*subset)) for subset in combinations(bags, k)]) for k in range(1, 6)]
    assert vocabulary_growth(texts) == pytest.approx(expected, abs=1e-13)


def test_vocabulary_growth_of_simple_texts() -> None:
    assert vocabulary_growth(["a b"] * 3) == pytest.approx((2, 2, 2), abs=1e-14)
    assert vocabulary_growth(["a b", "c d", "e f"]) == pytest.approx((2, 4, 6), abs=1e-14)
    assert vocabulary_growth(["word"]) == (1.0,)
    assert vocabulary_growth(["", ""]) == (0.0, 0.0)
    assert vocabulary_growth([]) == ()


def test_refuses_ngrams_of_no_words() -> None:
    with pytest.raises(ValueError, match="n is 0"):
        distinct_n(["a"], 0)
    with pytest.raises(ValueError, match="max_n is -1"):
        self_bleu(["a", "b"], -1)


def test_refuses_one_text_in_place_of_samples() -> None:
    with pytest.raises(ValueError, match="got one text, 'a b c'"):
        distinct_n("a b c", 1)
    with pytest.raises(ValueError, match="got one text"):
        self_bleu("a b c")
    with pytest.raises(ValueError, match="got one text"):
        compression_ratio("a b c")
    with pytest.raises(ValueError, match="got one text"):
        vocabulary_growth("a b c")
