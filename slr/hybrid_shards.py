"""Write one safetensors file of a hybrid: a copy of the instruct model's with some tensors replaced.

A replaced tensor has the shape and dtype of the one it stands for, so the file keeps the instruct model's
header byte for byte, and everything is copied in chunks: memory does not grow with the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from slr.hybrid import interpolate_tensor
from slr.tensor_index import TORCH_DTYPES, read_shard_header

CHUNK_ELEMENTS = 4 * 2**20
"""Numbers that are converted or interpolated at once."""

CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's bytes are: the file, its first byte and its end in it."""

    path: Path
    begin: int
    end: int
    dtype: torch.dtype


def stored_tensors(directory: Path, shard: str) -> dict[str, StoredTensor]:
    """Every tensor of one safetensors file, by name.

    Raises:
        ValueError: if the file is damaged.
    """
    header = read_shard_header(directory / shard)
    return {
        name: StoredTensor(directory / shard, *header.extents[name], TORCH_DTYPES[entry.dtype])
        for name, entry in header.tensors.items()
    }


def write_hybrid_shard(
    instruct_shard: Path,
    output: Path,
    replacements: Mapping[str, StoredTensor],
    alpha: float,
    on_bytes: Callable[[int], None],
) -> str:
    """Copy ``instruct_shard`` to ``output`` with some of its tensors from the base model.

    Args:
        instruct_shard: an existing safetensors file.
        output: the file to write; must not exist.
        replacements: base tensors by name, of the same shape as the instruct model's; another dtype is
            converted to the instruct model's.
        alpha: the base model's share in a replaced tensor.
        on_bytes: told the number of bytes after each that were written.

    Returns:
        The SHA-256 of the written file, in hexadecimal.
    """
    header = read_shard_header(instruct_shard)
    digest = hashlib.sha256()
    with instruct_shard.open("rb") as instruct, output.open("xb") as target:

        def write(data: bytes | bytearray | memoryview) -> None:
            target.write(data)
            digest.update(data)
            on_bytes(len(data))

        for data in _read(instruct, 0, header.data_start):
            write(data)
        for name, (begin, end) in sorted(header.extents.items(), key=lambda item: item[1]):
            dtype = TORCH_DTYPES[header.tensors[name].dtype]
            own = StoredTensor(instruct_shard, begin, end, dtype)
            for data in _tensor_data(instruct, own, replacements.get(name), alpha):
                write(data)
    return digest.hexdigest()


def _tensor_data(
    instruct_file: BinaryIO, instruct: StoredTensor, base: StoredTensor | None, alpha: float
) -> Iterator[bytes | memoryview]:
    if base is None:
        yield from _read(instruct_file, instruct.begin, instruct.end)
        return
    with base.path.open("rb") as base_file:
        if alpha == 1 and base.dtype == instruct.dtype:
            yield from _read(base_file, base.begin, base.end)
        else:
            yield from _mixed(instruct_file, instruct, base_file, base, alpha)


def _mixed(
    instruct_file: BinaryIO, instruct: StoredTensor, base_file: BinaryIO, base: StoredTensor, alpha: float
) -> Iterator[memoryview]:
    base_chunks = _read_tensor(base_file, base)
    if alpha == 1:
        for base_chunk in base_chunks:
            yield _bytes(base_chunk.to(instruct.dtype))
        return
    for instruct_chunk, base_chunk in zip(_read_tensor(instruct_file, instruct), base_chunks, strict=True):
        # The base is rounded to the instruct model's dtype first, as in a pair that was loaded.
        yield _bytes(interpolate_tensor(instruct_chunk, base_chunk.to(instruct.dtype), alpha))


def _read_tensor(file: BinaryIO, tensor: StoredTensor) -> Iterator[torch.Tensor]:
    """The tensor's numbers in order, in pieces of the same number of elements for every dtype."""
    for data in _read(file, tensor.begin, tensor.end, CHUNK_ELEMENTS * tensor.dtype.itemsize):
        yield torch.frombuffer(bytearray(data), dtype=tensor.dtype)


def _read(file: BinaryIO, begin: int, end: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    file.seek(begin)
    for position in range(begin, end, chunk_bytes):
        wanted = min(chunk_bytes, end - position)
        data = file.read(wanted)
        if len(data) != wanted:
            raise ValueError(f"{file.name} ended at byte {position + len(data)}, expected {end}")
        yield data


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.view(torch.uint8).numpy().data
