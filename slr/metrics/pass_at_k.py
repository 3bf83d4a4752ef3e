"""The chance that at least one of k samples is right.

Shape letters: M factors of a product, K numbers of samples drawn, from 1 to all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Chance that k of the n samples, drawn without replacement, hold a right one.

    ``1 - C(n - c, k) / C(n, k)`` for n samples of which c are right: the unbiased estimate of
    ``1 - (1 - p)^k``, where p is the chance that a sample is right. 0 if no sample is right, 1 if fewer than
    k are wrong. The ratio is a product of factors of at most 1, so that no n is too large.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Raises:
        ValueError: unless ``0 <= num_right <= num_samples`` and ``1 <= k <= num_samples``.
    """
    _check_counts(num_samples, num_right)
    check_draw(k, num_samples)
    # The ratio is symmetric in c and k, so take the product with fewer factors.
    few, many = sorted((num_right, k))
    drawn_M = np.arange(few)
    factors_M = (num_samples - many - drawn_M) / (num_samples - drawn_M)
    # A factor of 0 stands before any negative one: the product is then exactly 0.
    return float(1.0 - np.prod(factors_M))


def pass_at_k_curve(num_samples: int, num_right: int) -> NDArray[np.float64]:
    """``pass_at_k`` for every k from 1 to ``num_samples``, shape (K,), in one pass.

    Also the chance that something found in ``num_right`` of the samples is found in k of them
    (rarefaction, Hurlbert 1971).

    Raises:
        ValueError: unless ``0 <= num_right <= num_samples`` and there is a sample.
    """
    _check_counts(num_samples, num_right)
    drawn_K = np.arange(num_samples, dtype=np.float64)
    factors_K: NDArray[np.float64] = (num_samples - num_right - drawn_K) / (num_samples - drawn_K)
    return 1.0 - factors_K.cumprod()


def check_draw(k: int, num_samples: int) -> None:
    """Refuse to draw k of the samples if there are not as many.

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
