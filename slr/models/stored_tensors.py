"""Find the bytes of every tensor of a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from slr.models.safetensors_index import TORCH_DTYPES, read_shard_header


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's bytes are.

    Attributes:
        path: the file.
        begin: position of the tensor's first byte in the file.
        end: position after its last byte.
        dtype: dtype of its numbers.
    """

    path: Path
    begin: int
    end: int
    dtype: torch.dtype


def stored_tensors(directory: Path, shard: str) -> dict[str, StoredTensor]:
    """Find every tensor of one safetensors file, by name.

    Raises:
        ValueError: if the file is damaged.
    """
    header = read_shard_header(directory / shard)
    return {
        name: StoredTensor(directory / shard, *header.extents[name], TORCH_DTYPES[entry.dtype])
        for name, entry in header.tensors.items()
    }
