"""The Vendi score against eigenvalues of the kernel and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigvalsh
from scipy.stats import entropy

from slr.metrics.vendi import vendi_score


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (4, 9)])
def test_equals_the_entropy_of_the_kernel(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(shape[0]).normal(size=shape)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    eigenvalues = eigvalsh(unit @ unit.T / shape[0]).clip(0)
    assert vendi_score(vectors.astype(np.float32)) == pytest.approx(np.exp(entropy(eigenvalues)), rel=1e-5)


def test_counts_different_samples() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    assert vendi_score(np.stack([one, one, one])) == pytest.approx(1.0)
    assert vendi_score(np.stack([one, other])) == pytest.approx(2.0)
    assert vendi_score(np.stack([one, one, other, other])) == pytest.approx(2.0)


def test_undefined_and_bad_embeddings() -> None:
    assert vendi_score(np.zeros((0, 4))) is None
    with pytest.raises(ValueError, match="zero or not finite"):
        vendi_score(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="expected \\(samples, dimensions\\)"):
        vendi_score(np.ones(4))
