"""Write one safetensors file of a hybrid: a copy of the instruct model's with some tensors replaced.

A replacement has the shape and dtype of the tensor that it replaces, so the file keeps the instruct model's header byte
for byte. It consists of *pieces*. Some are runs of bytes that a source file holds as they are; the kernel copies them
if it can. The others are tensors that are computed chunk by chunk, so memory does not grow with the model.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedReader, FileIO
from pathlib import Path

import torch

from slr.hybrid import interpolate_tensor
from slr.models.safetensors_index import TORCH_DTYPES, read_shard_header
from slr.models.stored_tensors import StoredTensor

CHUNK_ELEMENTS = 2**18
"""Number of elements converted or interpolated at once: few enough to stay in a CPU's cache."""

CHUNK_BYTES = 2**18
"""Number of bytes read at once: few enough to stay in a CPU's cache."""

COPY_BYTES = 64 * 2**20
"""Largest number of bytes that the kernel copies in one call."""

COPY_ALIGNMENT = 2**16
"""Alignment in bytes of the place in the target at which a call begins.

Linux copies 64 KiB at a time, and caches an aligned unit as one piece. It caches other units in many small pieces,
which takes a third longer.
"""

Chunk = bytes | bytearray | memoryview
"""Bytes of a piece, in the form in which they were read or computed."""

NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of ``copy_file_range`` between file systems, or on a file system that cannot do it."""


@dataclass(frozen=True)
class CopiedBytes:
    """A piece that is copied from a source file.

    Attributes:
        path: the source file.
        begin: position of the first byte.
        end: position after the last byte.
    """

    path: Path
    begin: int
    end: int

    def chunks(self) -> Iterator[Chunk]:
        """Read its bytes in order."""
        with self.path.open("rb") as file:
            yield from _read(file, self.begin, self.end)


@dataclass(frozen=True)
class ComputedTensor:
    """A piece that is converted from the base model's tensor, or interpolated between both models' tensors.

    Attributes:
        instruct: tensor of the instruct model.
        base: tensor of the base model, of the same shape.
        alpha: share of the base model, in (0, 1]; 1 for a tensor that is only converted.
    """

    instruct: StoredTensor
    base: StoredTensor
    alpha: float

    def chunks(self) -> Iterator[Chunk]:
        """Compute its bytes in order."""
        with self.instruct.path.open("rb") as instruct_file, self.base.path.open("rb") as base_file:
            base_chunks = _read_tensor(base_file, self.base)
            if self.alpha == 1:
                for base_chunk in base_chunks:
                    yield _bytes(base_chunk.to(self.instruct.dtype))
                return
            instruct_chunks = _read_tensor(instruct_file, self.instruct)
            for instruct_chunk, base_chunk in zip(instruct_chunks, base_chunks, strict=True):
                # A loaded pair has both models in the instruct model's dtype, so the base model's numbers are rounded
                # to it first. Otherwise the built hybrid would differ from the one in memory.
                converted = base_chunk.to(self.instruct.dtype)
                yield _bytes(interpolate_tensor(instruct_chunk, converted, self.alpha))


Piece = CopiedBytes | ComputedTensor


@dataclass(frozen=True)
class HybridShard:
    """The plan of one file of a hybrid.

    Attributes:
        instruct_shard: file of the instruct model with the same layout.
        pieces: the pieces of the file, in order.
    """

    instruct_shard: Path
    pieces: tuple[Piece, ...]


def computed_tensor(own: StoredTensor, base: StoredTensor | None, alpha: float) -> ComputedTensor | None:
    """Decide how a tensor of a hybrid is computed.

    Args:
        own: tensor of the instruct model.
        base: tensor of the base model that replaces it; None if it stays.
        alpha: share of the base model, in (0, 1].

    Returns:
        The computation; None if the bytes of one of the two tensors are copied.
    """
    is_copied = base is None or (alpha == 1 and base.dtype == own.dtype)
    return None if base is None or is_copied else ComputedTensor(own, base, alpha)


def plan_hybrid_shard(
    instruct_shard: Path, replacements: Mapping[str, StoredTensor], alpha: float
) -> HybridShard:
    """Plan the pieces of a hybrid's file.

    Args:
        instruct_shard: file of the instruct model.
        replacements: the base model's tensors by name, of the same shapes as the instruct model's. Another dtype is
            converted to the instruct model's.
        alpha: share of the base model in a replaced tensor, in (0, 1].

    Raises:
        ValueError: if the file is damaged.
    """
    header = read_shard_header(instruct_shard)
    pieces: list[Piece] = [CopiedBytes(instruct_shard, 0, header.data_start)]
    for name, (begin, end) in sorted(header.extents.items(), key=lambda item: item[1]):
        own = StoredTensor(instruct_shard, begin, end, TORCH_DTYPES[header.tensors[name].dtype])
        base = replacements.get(name)
        if computed := computed_tensor(own, base, alpha):
            pieces.append(computed)
            continue
        source = base or own
        last = pieces[-1]
        # Bytes that follow one another in a source become one piece, because few large copies are faster than many.
        if isinstance(last, CopiedBytes) and (last.path, last.end) == (source.path, source.begin):
            pieces[-1] = replace(last, end=source.end)
        else:
            pieces.append(CopiedBytes(source.path, source.begin, source.end))
    return HybridShard(instruct_shard, tuple(pieces))


def write_hybrid_shard(plan: HybridShard, output: Path, on_bytes: Callable[[int], None]) -> None:
    """Write a file of a hybrid.

    Args:
        plan: the plan of the file.
        output: the file to write, which must not exist.
        on_bytes: called after each chunk with the number of bytes written.

    Raises:
        OSError: if the file exists or cannot be written.
        ValueError: if a source file ends too early.
    """
    with output.open("xb", buffering=0) as target:
        for piece in plan.pieces:
            if isinstance(piece, CopiedBytes):
                _copy(piece, target, on_bytes)
                continue
            for data in piece.chunks():
                _write_all(target, data)
                on_bytes(len(data))


def verify_hybrid_shard(plan: HybridShard, output: Path, on_bytes: Callable[[int], None]) -> str:
    """Read a file of a hybrid from the disk again, and compare every byte with its sources.

    Args:
        plan: the plan of the file.
        output: the written file.
        on_bytes: called after each chunk with the number of bytes read.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        OSError: if a byte differs; names the tensor.
    """
    digest = hashlib.sha256()
    with output.open("rb") as file:
        _forget_cached(file)
        for expected in (chunk for piece in plan.pieces for chunk in piece.chunks()):
            position = file.tell()
            found = file.read(len(expected))
            if found != expected:
                raise OSError(_difference(plan, output, position, found, expected))
            digest.update(found)
            on_bytes(len(found))
        if file.read(1):
            raise OSError(f"{output.name} is longer than it was written: build it again")
    return digest.hexdigest()


def _copy(piece: CopiedBytes, target: FileIO, on_bytes: Callable[[int], None]) -> None:
    """Copy a piece in the kernel, or by reading and writing where the kernel cannot do it."""
    position = piece.begin
    with piece.path.open("rb", buffering=0) as source:
        while position < piece.end:
            # The first call copies only up to the next multiple, so that all later calls begin aligned.
            wanted = -target.tell() % COPY_ALIGNMENT or COPY_BYTES
            copied = _copy_in_kernel(source, target, position, min(wanted, piece.end - position))
            if copied == 0:
                break
            position += copied
            on_bytes(copied)
    # Whatever the kernel did not copy is left; for a source that ended too early, reading raises a clear error.
    for data in replace(piece, begin=position).chunks():
        _write_all(target, data)
        on_bytes(len(data))


def _copy_in_kernel(source: FileIO, target: FileIO, position: int, wanted: int) -> int:
    """Copy bytes to the target's end, and return their number; 0 if the kernel cannot do it, or the source ended.

    Raises:
        OSError: if copying fails for another reason, such as a full disk.
    """
    if not hasattr(os, "copy_file_range"):  # only Linux has it
        return 0
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), wanted, offset_src=position)
    except OSError as error:
        if error.errno in NO_KERNEL_COPY:
            return 0
        raise


def _write_all(target: FileIO, data: Chunk) -> None:
    # An unbuffered file may write only a part of what it is given.
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]


def _forget_cached(file: BufferedReader) -> None:
    """Drop the system's cache of a file, so that it is read from the disk and not from memory."""
    os.fsync(file.fileno())  # only pages that are on the disk can be dropped
    if hasattr(os, "posix_fadvise"):  # macOS does not have it
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _difference(plan: HybridShard, output: Path, position: int, found: bytes, expected: Chunk) -> str:
    same = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(found))
    place = position + same
    extents = read_shard_header(plan.instruct_shard).extents.items()
    where = next((f"tensor {name}" for name, (begin, end) in extents if begin <= place < end), "the header")
    return (
        f"{output.name} differs from its sources at byte {place}, in {where}: the disk or the memory may be "
        "faulty, or a source was changed meanwhile; build it again"
    )


def _read_tensor(file: BufferedReader, tensor: StoredTensor) -> Iterator[torch.Tensor]:
    """Read a tensor's numbers in order.

    Every chunk has the same number of elements whatever the dtype, so that chunks of two tensors can be combined.
    """
    for data in _read(file, tensor.begin, tensor.end, CHUNK_ELEMENTS * tensor.dtype.itemsize):
        yield torch.frombuffer(data, dtype=tensor.dtype)


def _read(file: BufferedReader, begin: int, end: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytearray]:
    file.seek(begin)
    for position in range(begin, end, chunk_bytes):
        data = bytearray(min(chunk_bytes, end - position))
        count = file.readinto(data)
        if count != len(data):
            raise ValueError(f"{file.name} ended at byte {position + count}, expected {end}")
        yield data


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.view(torch.uint8).numpy().data
