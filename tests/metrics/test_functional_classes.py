"""Functional classes, against a plain loop of complete linkage and texts whose classes are known."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from slr.metrics.functional_classes import functional_classes


def by_plain_loop(embeddings: np.ndarray, min_cosine: float) -> set[frozenset[int]]:
    """Merge the two nearest classes, by their least similar pair, while that pair keeps the threshold."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    classes = [frozenset({index}) for index in range(len(unit))]

    def similarity(one: frozenset[int], other: frozenset[int]) -> float:
        return min(float(unit[a] @ unit[b]) for a, b in product(one, other))

    while len(classes) > 1:
        one, other = max(combinations(classes, 2), key=lambda pair: similarity(*pair))
        if similarity(one, other) < min_cosine:
            break
        classes = [c for c in classes if c not in (one, other)] + [one | other]
    return set(classes)


def as_sets(numbers: tuple[int, ...]) -> set[frozenset[int]]:
    return {frozenset(i for i, n in enumerate(numbers) if n == of) for of in set(numbers)}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("min_cosine", [0.2, 0.75, 0.95])
def test_equal_to_a_plain_loop(seed: int, min_cosine: float) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 6))
    embeddings = centres[rng.integers(4, size=15)] + 0.4 * rng.normal(size=(15, 6))
    assert as_sets(functional_classes(embeddings, min_cosine)) == by_plain_loop(embeddings, min_cosine)


def at_degrees(*angles: float) -> np.ndarray:
    return np.array([[np.cos(a), np.sin(a)] for a in np.radians(angles)])


def test_no_chain_of_small_steps_joins_texts_that_differ() -> None:
    # Neighbours are 30 degrees apart, a cosine of 0.87; the ends are 90 degrees apart.
    assert len(set(functional_classes(at_degrees(0, 30, 60, 90), 0.8))) == 2
    assert functional_classes(at_degrees(0, 80, 1, 81), 0.8) == (0, 1, 0, 1)


def test_length_does_not_matter_and_equal_embeddings_are_one_class() -> None:
    assert functional_classes(np.array([[1.0, 2.0], [10.0, 20.0], [1.0, 2.0]]), 0.999) == (0, 0, 0)
    assert functional_classes(np.ones((1, 3))) == (0,)
    assert functional_classes(np.ones((0, 3))) == ()


@pytest.mark.parametrize(
    ("embeddings", "min_cosine", "message"),
    [
        (np.ones(3), 0.75, "expected \\(samples, dimensions\\)"),
        (np.zeros((2, 3)), 0.75, "zero or not finite"),
        (np.ones((2, 3)), 1.0, "min_cosine is 1"),
    ],
)
def test_bad_input_is_named(embeddings: np.ndarray, min_cosine: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        functional_classes(embeddings, min_cosine)
