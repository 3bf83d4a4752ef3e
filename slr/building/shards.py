"""Write one safetensors file of a hybrid: a copy of the instruct model's with some tensors replaced.

A replaced tensor has the shape and dtype of the one it stands for, so the file keeps the instruct model's
header byte for byte, and consists of *pieces*: runs of bytes that are in a source file as they are, copied
by the kernel where it can, and tensors that are computed chunk by chunk. Memory does not grow with the model.
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
"""Numbers that are converted or interpolated at once: few enough to stay in a CPU's cache."""

CHUNK_BYTES = 2**18
"""Bytes that are read at once, for the same reason."""

COPY_BYTES = 64 * 2**20
"""Bytes that the kernel copies in one call."""

COPY_ALIGNMENT = 2**16
"""A call is to begin at a multiple of this: Linux copies so many bytes at a time, and caches those that begin there
in one piece, but others in many small ones, which takes a third longer."""

NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What ``copy_file_range`` fails with between file systems, or where one cannot do it."""


@dataclass(frozen=True)
class CopiedBytes:
    """A piece that is ``path``'s bytes from ``begin`` to ``end``."""

    path: Path
    begin: int
    end: int

    def chunks(self) -> Iterator[bytearray | memoryview]:
        """Its bytes in order."""
        with self.path.open("rb") as file:
            yield from _read(file, self.begin, self.end)


@dataclass(frozen=True)
class ComputedTensor:
    """A piece that is converted from the base model's tensor, or interpolated between the two."""

    instruct: StoredTensor
    base: StoredTensor
    alpha: float

    def chunks(self) -> Iterator[bytearray | memoryview]:
        """Its bytes in order."""
        with self.instruct.path.open("rb") as instruct_file, self.base.path.open("rb") as base_file:
            base_chunks = _read_tensor(base_file, self.base)
            if self.alpha == 1:
                for base_chunk in base_chunks:
                    yield _bytes(base_chunk.to(self.instruct.dtype))
                return
            instruct_chunks = _read_tensor(instruct_file, self.instruct)
            for instruct_chunk, base_chunk in zip(instruct_chunks, base_chunks, strict=True):
                # The base is rounded to the instruct model's dtype first, as in a pair that was loaded.
                converted = base_chunk.to(self.instruct.dtype)
                yield _bytes(interpolate_tensor(instruct_chunk, converted, self.alpha))


Piece = CopiedBytes | ComputedTensor


@dataclass(frozen=True)
class HybridShard:
    """What one file of a hybrid consists of, in order; it is laid out as ``instruct_shard`` is."""

    instruct_shard: Path
    pieces: tuple[Piece, ...]


def computed_tensor(own: StoredTensor, base: StoredTensor | None, alpha: float) -> ComputedTensor | None:
    """What is computed for a tensor of a hybrid; None where bytes of one of the two models are copied."""
    is_copied = base is None or (alpha == 1 and base.dtype == own.dtype)
    return None if base is None or is_copied else ComputedTensor(own, base, alpha)


def plan_hybrid_shard(
    instruct_shard: Path, replacements: Mapping[str, StoredTensor], alpha: float
) -> HybridShard:
    """The pieces of a hybrid's file; bytes that follow one another in a source are one piece.

    Args:
        instruct_shard: an existing safetensors file.
        replacements: base tensors by name, of the same shape as the instruct model's; another dtype is
            converted to the instruct model's.
        alpha: the base model's share in a replaced tensor.
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
        if isinstance(last, CopiedBytes) and (last.path, last.end) == (source.path, source.begin):
            pieces[-1] = replace(last, end=source.end)
        else:
            pieces.append(CopiedBytes(source.path, source.begin, source.end))
    return HybridShard(instruct_shard, tuple(pieces))


def write_hybrid_shard(plan: HybridShard, output: Path, on_bytes: Callable[[int], None]) -> None:
    """Write ``output``, which must not exist; ``on_bytes`` is told the number of bytes after each that were written."""
    with output.open("xb", buffering=0) as target:
        for piece in plan.pieces:
            if isinstance(piece, CopiedBytes):
                _copy(piece, target, on_bytes)
                continue
            for data in piece.chunks():
                _write_all(target, data)
                on_bytes(len(data))


def verify_hybrid_shard(plan: HybridShard, output: Path, on_bytes: Callable[[int], None]) -> str:
    """Read ``output`` from the disk again and compare every byte with what it was to be made of.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        OSError: if a byte differs; the message names the tensor.
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
    """Copy without passing through this process where the system can do that, by reading and writing elsewhere."""
    position = piece.begin
    with piece.path.open("rb", buffering=0) as source:
        while position < piece.end:
            wanted = -target.tell() % COPY_ALIGNMENT or COPY_BYTES
            copied = _copy_in_kernel(source, target, position, min(wanted, piece.end - position))
            if copied == 0:
                break
            position += copied
            on_bytes(copied)
    for data in replace(piece, begin=position).chunks():
        _write_all(target, data)
        on_bytes(len(data))


def _copy_in_kernel(source: FileIO, target: FileIO, position: int, wanted: int) -> int:
    """Number of bytes that were copied to the target's end; 0 where it cannot be done, or the source ended."""
    if not hasattr(os, "copy_file_range"):  # Linux only
        return 0
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), wanted, offset_src=position)
    except OSError as error:
        if error.errno in NO_KERNEL_COPY:
            return 0
        raise


def _write_all(target: FileIO, data: bytearray | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]


def _forget_cached(file: BufferedReader) -> None:
    """Have the file read from the disk, not from what the system still remembers of its writing."""
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _difference(
    plan: HybridShard, output: Path, position: int, found: bytes, expected: bytearray | memoryview
) -> str:
    same = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(found))
    place = position + same
    extents = read_shard_header(plan.instruct_shard).extents.items()
    where = next((f"tensor {name}" for name, (begin, end) in extents if begin <= place < end), "the header")
    return (
        f"{output.name} differs from its sources at byte {place}, in {where}: the disk or the memory may be "
        "faulty, or a source was changed meanwhile; build it again"
    )


def _read_tensor(file: BufferedReader, tensor: StoredTensor) -> Iterator[torch.Tensor]:
    """The tensor's numbers in order, in pieces of the same number of elements for every dtype."""
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
