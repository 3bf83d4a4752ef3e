"""The Vendi score: the effective number of different samples.

Shape letters: N samples, D embedding dimensions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def vendi_score(embeddings_ND: NDArray[np.floating]) -> float | None:
    """Effective number of different samples, in [1, N]; None without samples.

    The exponential of the entropy of the eigenvalues of ``X X^T / N``, where X holds the embeddings scaled to length
    1: order 1, cosine kernel. Equal samples give 1, orthogonal ones N.

    Source: Friedman and Dieng 2023 (arXiv 2210.02410), definition 3.1.

    Args:
        embeddings_ND: one embedding a sample, shape (N, D).

    Raises:
        ValueError: if the array does not have two dimensions, or a row is zero or not finite.
    """
    if embeddings_ND.ndim != 2:
        raise ValueError(f"embeddings have shape {embeddings_ND.shape}: expected (samples, dimensions)")
    if not len(embeddings_ND):
        return None
    vectors_ND = embeddings_ND.astype(np.float64)
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    if not (np.isfinite(length_N1) & (length_N1 > 0)).all():
        raise ValueError(
            "an embedding is zero or not finite: expected a finite vector other than zero a sample"
        )
    # The squared singular values of X are the eigenvalues of its kernel, without squaring rounding errors.
    share_N = np.linalg.svd(vectors_ND / length_N1, compute_uv=False) ** 2 / len(vectors_ND)
    positive = [float(share) for share in share_N if share > 0]
    return math.exp(-math.fsum(share * math.log(share) for share in positive))
