"""Check that every number of a hybrid is in range, before any is written."""

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
    """Check every number that goes into a hybrid, before any is written.

    Args:
        base: the checkpoint that the replacements come from.
        instruct: the checkpoint that they go into.
        replacements: the base model's tensors, by their names in the hybrid.
        alpha: share of the base model in them, in (0, 1].
        on_bytes: called after each chunk with the number of bytes read; ``bytes_to_check`` gives their total.

    Raises:
        ValueError: if a number is not finite, or is no longer finite after it was converted or interpolated.
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
    """Count the bytes that ``check_hybrid`` reads.

    Args:
        instruct: the checkpoint that the replacements go into.
        replacements: the base model's tensors, by their names in the hybrid.
        alpha: share of the base model in them, in (0, 1].
    """
    return sum(
        tensor.end - tensor.begin
        for name, own in weights_on_disk(instruct).items()
        for tensor in _sources(own, replacements.get(name), alpha)
    )


def _sources(own: StoredTensor, base: StoredTensor | None, alpha: float) -> tuple[StoredTensor, ...]:
    if base is None:
        return (own,)
    # At alpha 1 nothing of the instruct model's tensor is left, so its numbers make no difference.
    return (base,) if alpha == 1 else (base, own)


def _check_computed(name: str, tensor: ComputedTensor, largest: float, where: str) -> None:
    """Compute a tensor and check its numbers, if they could overflow.

    Args:
        name: name of the tensor, for the message.
        tensor: the tensor that is computed.
        largest: largest magnitude of the tensors that it is computed from.
        where: name of the base model, for the message.

    Raises:
        ValueError: if a number overflows.
    """
    dtype = tensor.instruct.dtype
    # Interpolation computes the difference of two numbers, which is at most twice the larger one. So below half of the
    # dtype's largest number nothing overflows, and the tensor need not be computed twice.
    if largest <= torch.finfo(dtype).max / 2:
        return
    for chunk in tensor.chunks():
        if not math.isfinite(largest_magnitude(torch.frombuffer(chunk, dtype=dtype))):
            raise ValueError(overflow_line(largest, dtype, name, tensor.base, where))
