"""Where the bytes of every tensor of a safetensors file are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from slr.models.safetensors_index import TORCH_DTYPES, read_shard_header


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
