"""Check that weights are in range: no NaN, no infinity, and nothing that the dtype converted to cannot hold.

Files are read once, in chunks, at the speed of memory. The check compares bits. For floating-point numbers of one
sign, the bits read as whole numbers have the order of the magnitudes, with infinity above all finite numbers and NaN
above infinity. So two maxima over whole numbers find the largest magnitude, and nothing is converted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from io import FileIO

import numpy as np
import torch
from numpy.typing import NDArray

from slr.models.checkpoint import Checkpoint
from slr.models.stored_tensors import StoredTensor, stored_tensors

CHUNK_BYTES = 2**20
"""Number of bytes read at once: few enough to stay in a CPU's cache."""

SIGNED = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Dtype of signed whole numbers by their size in bytes."""


def largest_magnitude(numbers: torch.Tensor) -> float:
    """Find the largest absolute value in a tensor on the CPU: 0 if it is empty, infinity or NaN if it holds one."""
    if numbers.numel() == 0:
        return 0.0
    bits = numbers.detach().contiguous().view(SIGNED[numbers.dtype.itemsize]).numpy().reshape(-1)
    # As signed numbers, all positive ones are above the negative ones. As unsigned numbers, the negative ones are
    # above, because their sign bit counts as the highest bit.
    positive = int(bits.max())
    sign_bit = 1 << (8 * numbers.dtype.itemsize - 1)
    negative = int(bits.view(f"u{bits.itemsize}").max()) - sign_bit
    largest = torch.tensor(max(positive, negative, 0), dtype=SIGNED[numbers.dtype.itemsize])
    return float(largest.view(numbers.dtype))


def stored_magnitude(tensor: StoredTensor, on_bytes: Callable[[int], None] = lambda _: None) -> float:
    """Find the largest absolute value of a tensor on disk: infinity or NaN if it holds one.

    Args:
        tensor: the tensor's place on disk.
        on_bytes: called after each chunk with the number of bytes read.

    Raises:
        OSError: if the file ends before the tensor does.
    """
    buffer = np.empty(CHUNK_BYTES, dtype=np.uint8)
    largest = 0.0
    with tensor.path.open("rb", buffering=0) as file:
        file.seek(tensor.begin)
        for position in range(tensor.begin, tensor.end, CHUNK_BYTES):
            chunk = buffer[: min(CHUNK_BYTES, tensor.end - position)]
            _read_into(file, chunk, tensor)
            found = largest_magnitude(torch.from_numpy(chunk).view(tensor.dtype))
            on_bytes(len(chunk))
            if not math.isfinite(found):
                return found
            largest = max(largest, found)
    return largest


def check_numbers(
    checkpoint: Checkpoint,
    dtype: torch.dtype | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Read and check all weights that a checkpoint's model uses.

    Args:
        checkpoint: the checkpoint, with its weights in local files.
        dtype: dtype that the weights are to be converted to; None if they stay as they are.
        on_bytes: called after each chunk with the number of bytes read.

    Raises:
        ValueError: if a weight is not finite, or would not be finite in ``dtype``; names tensor and file.
        OSError: if a file ends before a tensor does.
    """
    for name, tensor in weights_on_disk(checkpoint).items():
        largest = stored_magnitude(tensor, on_bytes)
        check_finite(largest, name, tensor, str(checkpoint.reference))
        if dtype is not None:
            _check_fits(largest, dtype, name, tensor, str(checkpoint.reference))


def num_weight_bytes(checkpoint: Checkpoint) -> int:
    """Count the bytes that ``check_numbers`` reads."""
    return sum(tensor.end - tensor.begin for tensor in weights_on_disk(checkpoint).values())


def weights_on_disk(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """Find every floating-point tensor in the files that the model uses, by its name in the files."""
    return {
        name: tensor
        for shard in checkpoint.index.shards
        for name, tensor in stored_tensors(checkpoint.directory, shard).items()
        if name in checkpoint.conversion.destinations and tensor.dtype.is_floating_point
    }


def check_finite(largest: float, name: str, tensor: StoredTensor, where: str) -> None:
    """Check that the largest magnitude of a tensor is a finite number.

    Args:
        largest: largest magnitude in the tensor.
        name: name of the tensor, for the message.
        tensor: its place on disk, for the message.
        where: name of the model, for the message.

    Raises:
        ValueError: if it is infinite or NaN.
    """
    if not math.isfinite(largest):
        what = "NaN" if math.isnan(largest) else "infinity"
        raise ValueError(
            f"the weights of {where} are damaged: tensor {name} in {tensor.path.name} holds {what}. Download or save "
            "the checkpoint anew"
        )


def _check_fits(largest: float, dtype: torch.dtype, name: str, tensor: StoredTensor, where: str) -> None:
    """Check that the largest magnitude of a tensor is finite in ``dtype`` too.

    Raises:
        ValueError: if the conversion would make it infinite.
    """
    if not math.isfinite(float(torch.tensor(largest, dtype=torch.float64).to(dtype))):
        raise ValueError(overflow_line(largest, dtype, name, tensor, where))


def first_not_finite(named: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Find the first floating-point tensor in memory that holds NaN or infinity, by name; None if none does."""
    return next((name for name, tensor in named if not _is_finite(tensor)), None)


def _is_finite(tensor: torch.Tensor) -> bool:
    if tensor.is_meta or tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    # A NaN makes both ends NaN, so one pass finds NaN and both infinities without a tensor of booleans.
    low, high = torch.aminmax(tensor.detach())
    return bool(low.isfinite() & high.isfinite())


def overflow_line(largest: float, dtype: torch.dtype, name: str, tensor: StoredTensor, where: str) -> str:
    """Write the message about a tensor whose largest magnitude a dtype cannot hold.

    Args:
        largest: largest magnitude in the tensor.
        dtype: dtype that it would be converted to.
        name: name of the tensor.
        tensor: its place on disk.
        where: name of the model.
    """
    target = str(dtype).removeprefix("torch.")
    return (
        f"the weights of {where} do not fit {target}: tensor {name} in {tensor.path.name} holds numbers of up to "
        f"{largest:.4g}, and {target} ends at {torch.finfo(dtype).max:.4g}. Convert both models to one dtype that "
        "holds them, such as bfloat16 or float32"
    )


def _read_into(file: FileIO, chunk: NDArray[np.uint8], tensor: StoredTensor) -> None:
    rest = memoryview(chunk.data)
    while rest:
        count = file.readinto(rest)
        if not count:
            raise OSError(f"{tensor.path} ended before its last tensor does: download it anew")
        rest = rest[count:]
