"""The chance that at least one of k samples is right.

Shape letters: F factors of a product, K numbers of samples drawn, from 1 to all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Compute the chance that k of the n samples, drawn without replacement, hold a right one.

    The formula is ``1 - C(n - c, k) / C(n, k)``, for n samples of which c are right. It is the unbiased
    estimate of ``1 - (1 - p)^k``, where p is the chance that a sample is right. The ratio is computed as a
    product of factors of at most 1, so no n is too large.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Args:
        num_samples: number of samples n.
        num_right: number of right samples c.
        k: number of samples drawn.

    Returns:
        The chance, in [0, 1]: 0 if no sample is right, 1 if fewer than k are wrong.

    Raises:
        ValueError: unless ``0 <= num_right <= num_samples`` and ``1 <= k <= num_samples``.
    """
    _check_counts(num_samples, num_right)
    check_draw(k, num_samples)
    # The ratio is symmetric in c and k, so the product with fewer factors is taken.
    few, many = sorted((num_right, k))
    drawn_F = np.arange(few)
    factors_F = (num_samples - many - drawn_F) / (num_samples - drawn_F)
    # If fewer than k samples are wrong, a factor is 0 and stands before any negative one: the product is exactly 0.
    return float(1.0 - np.prod(factors_F))


def pass_at_k_curve(num_samples: int, num_right: int) -> NDArray[np.float64]:
    """Compute ``pass_at_k`` for every k from 1 to ``num_samples`` in one pass.

    It is also the chance that something found in ``num_right`` of the samples is found in k of them
    (rarefaction, Hurlbert 1971).

    Returns:
        The chances, shape (K,).

    Raises:
        ValueError: unless ``0 <= num_right <= num_samples`` and there is a sample.
    """
    _check_counts(num_samples, num_right)
    drawn_K = np.arange(num_samples, dtype=np.float64)
    factors_K: NDArray[np.float64] = (num_samples - num_right - drawn_K) / (num_samples - drawn_K)
    return 1.0 - factors_K.cumprod()


def check_draw(k: int, num_samples: int) -> None:
    """Check that k samples can be drawn without replacement.

    Raises:
        ValueError: unless ``1 <= k <= num_samples``.
    """
    if not 1 <= k <= num_samples:
        raise ValueError(
            f"k is {k}: expected 1 to the number of samples, {num_samples}; draw more for a larger k"
        )


def _check_counts(num_samples: int, num_right: int) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}: expected at least one sample")
    if not 0 <= num_right <= num_samples:
        raise ValueError(f"num_right is {num_right}: expected 0 to num_samples, {num_samples}")
