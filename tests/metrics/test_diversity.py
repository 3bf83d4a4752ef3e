"""All metrics of a list of texts, by hand-computed values and an encoder of known vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from slr.metrics import diversity as module
from slr.metrics.diversity import diversity
from slr.metrics.semantic import SentenceEncoder


class KnownVectors:
    """Embeds a text as the unit vector of its first letter."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(
            [np.eye(26)["abcdefghijklmnopqrstuvwxyz".index(text[0])] for text in texts], np.float32
        )


ENCODER = cast(SentenceEncoder, KnownVectors())


def test_every_metric_of_texts_that_share_some_words() -> None:
    found = diversity(["a b c", "a b c", "x y"], encoder=ENCODER)
    assert found.num_texts == 3
    assert found.median_words == 3
    assert found.distinct_1 == pytest.approx(5 / 8)
    assert found.distinct_2 == pytest.approx(3 / 5)
    assert found.distinct_3 == pytest.approx(1 / 2)
    assert found.distinct_4 is None
    assert found.self_bleu == pytest.approx(2 / 3)  # the two equal texts have 1, the third shares no word
    assert found.compression_ratio is not None
    assert found.embedding_diversity == pytest.approx(2 / 3)  # one pair of three is equal
    assert found.embedding_problem is None


def test_equal_texts_are_less_diverse_than_different_ones_by_every_metric() -> None:
    same = diversity(["the dog ran home today"] * 4, encoder=ENCODER)
    other = diversity(
        ["the dog ran home today", "a cat sat here now", "my sun is hot yet", "we eat big red plums"],
        encoder=ENCODER,
    )
    for name, sign in {
        "distinct_1": 1,
        "distinct_2": 1,
        "distinct_3": 1,
        "distinct_4": 1,
        "self_bleu": -1,
        "compression_ratio": -1,
        "embedding_diversity": 1,
    }.items():
        assert sign * getattr(same, name) < sign * getattr(other, name), name


def test_without_the_encoder_the_result_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> SentenceEncoder:
        raise ValueError("the sentence encoder is not installed: pip install it")

    monkeypatch.setattr(module, "_packaged_encoder", missing)
    found = diversity(["a b", "c d"])
    assert found.embedding_diversity is None
    assert found.embedding_problem == "the sentence encoder is not installed: pip install it"
    assert found.distinct_1 == 1


@pytest.mark.parametrize("texts", [[], ["one text"]])
def test_one_text_has_no_distances(texts: list[str]) -> None:
    found = diversity(texts, encoder=ENCODER)
    assert (found.self_bleu, found.embedding_diversity) == (None, None)
    assert found.embedding_problem == f"it compares texts with each other, and there are {len(texts)} of them"


def test_one_text_in_place_of_a_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="got one text, 'a b': expected a sequence"):
        diversity("a b")
