"""Expectation-adjusted distinct against its formula by fractions and against simulation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from slr.metrics.adjusted_distinct import expectation_adjusted_distinct


@pytest.mark.parametrize(("texts", "size"), [(["a b a"], 2), (["a", "b", "c c"], 10), (["a b"], 10**6)])
def test_equals_the_formula_in_exact_fractions(texts: list[str], size: int) -> None:
    tokens = " ".join(texts).split()
    expected = size * (1 - Fraction(size - 1, size) ** len(tokens))
    assert expectation_adjusted_distinct(texts, size) == pytest.approx(float(len(set(tokens)) / expected))


def test_uniform_words_have_one_at_every_length() -> None:
    generator = np.random.default_rng(0)
    for length in (20, 500):
        values = [
            expectation_adjusted_distinct(
                [" ".join(f"w{i}" for i in generator.integers(50, size=length))], 50
            )
            for _ in range(400)
        ]
        assert np.mean(np.array(values, dtype=float)) == pytest.approx(1.0, abs=0.01)


def test_at_its_ends() -> None:
    assert expectation_adjusted_distinct([], 5) is None
    assert expectation_adjusted_distinct(["..."], 5) is None
    assert expectation_adjusted_distinct(["a a a"], 1) == 1.0
    with pytest.raises(ValueError, match="vocabulary_size is 1: expected at least 1 and at least the 2"):
        expectation_adjusted_distinct(["a b"], 1)
    with pytest.raises(ValueError, match="expected a sequence of texts"):
        expectation_adjusted_distinct("a b", 5)
