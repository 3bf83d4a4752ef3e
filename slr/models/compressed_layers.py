"""Fine-tuned weights as a small difference to the start model: three values an entry, a scale a row.

Each entry of a matrix's difference becomes -1, 0 or 1 times the scale of its row, five entries a byte. For normally
distributed differences the thresholds and scales lose 19% of the variance, the least that three values can (Max 1960,
*Quantizing for minimum distortion*). Vectors, which are few, keep their difference in float16. The model that ships is
the one that reads this file: it is measured as it is, and the uncompressed one is not used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

THRESHOLD = 0.612
"""Share of a row's root mean square from which on a difference is not 0; best for normally distributed values."""
DIGITS = 5
"""Number of ternary digits in a byte: 3 to the 5th is 243."""
PACKED, SCALES, DIFFERENCE = "packed", "scales", "difference"


def compress(
    trained: Mapping[str, torch.Tensor], start: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Put the difference of all trained weights into a form for a file.

    Args:
        trained: weights by name, vectors and matrices.
        start: the same weights before training, perhaps among others.

    Returns:
        For a matrix NAME of shape (rows, columns): ``NAME.packed``, uint8, shape (ceil(rows * columns / 5),), and
        ``NAME.scales``, float16, shape (rows,). For a vector NAME: ``NAME.difference``, float16.
    """
    compressed: dict[str, torch.Tensor] = {}
    for name, weight in trained.items():
        # In float32, because the difference is smaller than a step of bfloat16 at most weights.
        difference = weight.detach().float() - start[name].float()
        if difference.dim() != 2:
            compressed[f"{name}.{DIFFERENCE}"] = difference.half()
            continue
        signs, scales = _ternary(difference)
        compressed[f"{name}.{PACKED}"] = _pack(signs)
        compressed[f"{name}.{SCALES}"] = scales.half()
    return compressed


def decompress(
    compressed: Mapping[str, torch.Tensor], start: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Add a compressed difference to the weights that it was taken from.

    Args:
        compressed: what ``compress`` returned.
        start: the weights before training, perhaps among others.

    Returns:
        The weights of the compressed names, each in the type of its start weight.

    Raises:
        ValueError: if a name or a shape is not the start model's.
    """
    weights: dict[str, torch.Tensor] = {}
    for key, value in compressed.items():
        name, _, kind = key.rpartition(".")
        if name not in start:
            raise ValueError(f"{key} is a difference to {name}, which the start model does not have")
        if kind == SCALES:
            continue
        if kind == DIFFERENCE:
            difference = value.float()
        else:
            scales = compressed[f"{name}.{SCALES}"]
            columns = start[name].shape[-1]
            difference = _unpack(value, len(scales) * columns).view(-1, columns) * scales.float()[:, None]
        if difference.shape != start[name].shape:
            raise ValueError(
                f"{key} is a difference of shape {tuple(difference.shape)}, expected {tuple(start[name].shape)}"
            )
        weights[name] = (start[name].float() + difference).to(start[name].dtype)
    return weights


def _ternary(difference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Signs (-1, 0, 1), shape (rows, columns), and the scale of each row: the mean of what is not 0."""
    # A scale a row, because the rows of a matrix move by different amounts.
    threshold = THRESHOLD * difference.square().mean(dim=1, keepdim=True).sqrt()
    kept = difference.abs() > threshold
    total = (difference.abs() * kept).sum(dim=1)
    return difference.sign() * kept, total / kept.sum(dim=1).clamp(min=1)


def _pack(signs: torch.Tensor) -> torch.Tensor:
    digits = (signs.flatten() + 1).to(torch.uint8)
    digits = torch.nn.functional.pad(digits, (0, -len(digits) % DIGITS)).view(-1, DIGITS)
    return (digits * _powers(digits.device)).sum(dim=1, dtype=torch.uint8)


def _unpack(packed: torch.Tensor, count: int) -> torch.Tensor:
    digits = packed[:, None].div(_powers(packed.device), rounding_mode="floor") % 3
    return digits.flatten()[:count].float() - 1


def _powers(device: torch.device) -> torch.Tensor:
    return torch.tensor([3**place for place in range(DIGITS)], dtype=torch.uint8, device=device)
