"""Mean ROUGE-L against rouge-score with the same words."""

from __future__ import annotations

import random
from itertools import combinations
from statistics import fmean

import pytest
from rouge_score.rouge_scorer import RougeScorer

from slr.metrics.rouge_l import mean_rouge_l
from slr.metrics.words import words


class OurWords:
    def tokenize(self, text: str) -> list[str]:
        return words(text)


def by_rouge_score(texts: list[str]) -> float:
    scorer = RougeScorer(["rougeL"], tokenizer=OurWords())
    return fmean(scorer.score(one, other)["rougeL"].fmeasure for one, other in combinations(texts, 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("vocabulary", [2, 7, 60])
def test_equals_rouge_score(seed: int, vocabulary: int) -> None:
    draw = random.Random(f"{seed} {vocabulary}")
    texts = [" ".join(f"w{draw.randrange(vocabulary)}" for _ in range(draw.randint(1, 90))) for _ in range(6)]
    assert mean_rouge_l(texts) == pytest.approx(by_rouge_score(texts), abs=1e-12)


def test_equal_disjoint_and_partly_equal() -> None:
    assert mean_rouge_l(["a b c", "A b, c!", "a b c"]) == 1.0
    assert mean_rouge_l(["a b", "c d"]) == 0.0
    assert mean_rouge_l(["the cat sat", "the dog sat down"]) == pytest.approx(4 / 7)
    assert mean_rouge_l(["b a", "a b"]) == 0.5


def test_texts_without_words_are_left_out() -> None:
    assert mean_rouge_l(["a b", "...", "a b", ""]) == 1.0
    assert mean_rouge_l(["a b", ""]) is None
    assert mean_rouge_l([]) is None
    with pytest.raises(ValueError, match="expected a sequence of texts"):
        mean_rouge_l("a b")
