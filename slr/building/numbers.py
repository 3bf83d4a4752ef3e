"""Is every number of a hybrid in range; decided before any is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch

from slr.building.shards import ComputedTensor, computed_tensor
from slr.models.checkpoint import Checkpoint
from slr.models.numbers_in_range import (
    check_finite,
    largest_magnitude,
    overflow_line,
    stored_magnitude,
    weights_on_disk,
)
from slr.models.stored_tensors import StoredTensor


def check_hybrid(
    base: Checkpoint,
    instruct: Checkpoint,
    replacements: Mapping[str, StoredTensor],
    alpha: float,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Check every number that goes into a hybrid, before any is written; see ``bytes_to_check``.

    Args:
        base: where the replacements come from.
        instruct: what they go into.
        replacements: the base model's tensors by the names that they have in the hybrid.
        alpha: the base model's share in them.
        on_bytes: called with the number of bytes after each that were read.

    Raises:
        ValueError: if one is not finite, or is not any more when it is converted or interpolated.
    """
    for name, own in weights_on_disk(instruct).items():
        replacement = replacements.get(name)
        largest = 0.0
        for tensor in _sources(own, replacement, alpha):
            found = stored_magnitude(tensor, on_bytes)
            check_finite(found, name, tensor, str((base if tensor is replacement else instruct).reference))
            largest = max(largest, found)
        if computed := computed_tensor(own, replacement, alpha):
            _check_computed(name, computed, largest, str(base.reference))


def bytes_to_check(instruct: Checkpoint, replacements: Mapping[str, StoredTensor], alpha: float) -> int:
    """Number of bytes that ``check_hybrid`` reads."""
    return sum(
        tensor.end - tensor.begin
        for name, own in weights_on_disk(instruct).items()
        for tensor in _sources(own, replacements.get(name), alpha)
    )


def _sources(own: StoredTensor, base: StoredTensor | None, alpha: float) -> tuple[StoredTensor, ...]:
    if base is None:
        return (own,)
    return (base,) if alpha == 1 else (base, own)


def _check_computed(name: str, tensor: ComputedTensor, largest: float, where: str) -> None:
    """Compute what goes into a hybrid where ``largest``, the largest magnitude of its sources, says it could overflow.

    It cannot below half of the dtype's largest number: no difference of two numbers exceeds twice the larger one.
    """
    dtype = tensor.instruct.dtype
    if largest <= torch.finfo(dtype).max / 2:
        return
    for chunk in tensor.chunks():
        if not math.isfinite(largest_magnitude(torch.frombuffer(chunk, dtype=dtype))):
            raise ValueError(overflow_line(largest, dtype, name, tensor.base, where))
