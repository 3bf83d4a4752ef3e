"""Functional classes: which samples say the same thing, by the embeddings of a sentence encoder.

Shape letters: N samples, D embedding dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME_CLASS_COSINE = 0.75
"""Cosine similarity from which two texts count as the same; ``experiments/class_threshold.py`` calibrates it."""


def functional_classes(
    embeddings_ND: NDArray[np.floating], min_cosine: float = SAME_CLASS_COSINE
) -> tuple[int, ...]:
    """Group samples so that all pairs within a class are at least as similar as the threshold.

    Classes are merged by complete linkage, nearest first, as long as the least similar pair of the merged class keeps
    the threshold. So no chain of small steps can join two texts that differ.

    Args:
        embeddings_ND: one embedding a sample, shape (N, D), of any length but 0.
        min_cosine: smallest cosine similarity within a class, below 1.

    Returns:
        The number of each sample's class, from 0, in the order in which classes first occur.

    Raises:
        ValueError: if the array does not have two dimensions, a row is zero or not finite, or the threshold is not
            from -1 to below 1.
    """
    if embeddings_ND.ndim != 2:
        raise ValueError(f"embeddings have shape {embeddings_ND.shape}: expected (samples, dimensions)")
    if not -1 <= min_cosine < 1:
        raise ValueError(f"min_cosine is {min_cosine:g}: expected a cosine similarity from -1 to below 1")
    vectors_ND = embeddings_ND.astype(np.float64)
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    if not (np.isfinite(length_N1) & (length_N1 > 0)).all():
        raise ValueError(
            "an embedding is zero or not finite: expected a finite vector other than zero a sample"
        )
    if len(vectors_ND) < 2:
        return tuple(range(len(vectors_ND)))
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    unit_ND = vectors_ND / length_N1
    distance_NN = 1 - unit_ND @ unit_ND.T
    np.fill_diagonal(distance_NN, 0.0)
    # Rounding makes the distance of equal vectors slightly negative, and the matrix slightly asymmetric.
    condensed = squareform(np.maximum(distance_NN, 0.0), checks=False)
    labels = fcluster(linkage(condensed, "complete"), t=1 - min_cosine, criterion="distance")
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(label), len(numbers)) for label in labels)
