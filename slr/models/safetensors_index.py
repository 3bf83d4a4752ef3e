"""Read from the headers of a checkpoint's safetensors files which tensors they hold, without reading a weight.

A safetensors file has three parts: 8 bytes with the header's length (little-endian), the header, and the data. The
header is JSON, and has for every tensor its dtype, its shape, and the begin and end of its bytes. See
https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch

from slr.files.untrusted import parse_json_object, read_json_object

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000
"""Largest size of a header in bytes, which is the format's own limit."""
MAX_SIZE = 2**48
"""Largest size of a tensor in any direction, and largest offset of its bytes."""

TORCH_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""The dtype that each of the format's names means."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the files.

    Attributes:
        shape: shape of the tensor.
        dtype: safetensors name of its dtype.
        shard: name of the file that holds it.
    """

    shape: tuple[int, ...]
    dtype: str
    shard: str


@dataclass(frozen=True)
class ShardHeader:
    """The header of one file.

    Attributes:
        tensors: the tensors by name.
        extents: first byte and end of each tensor, counted from the beginning of the file.
        data_start: number of bytes before the data.
    """

    tensors: dict[str, TensorEntry]
    extents: dict[str, tuple[int, int]]
    data_start: int


@dataclass(frozen=True)
class TensorIndex:
    """All tensors of a checkpoint.

    Attributes:
        tensors: the tensors by name.
        problems: what is wrong with the files, a line each.
    """

    tensors: dict[str, TensorEntry]
    problems: tuple[str, ...] = ()

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the files that hold the tensors, sorted."""
        return tuple(sorted({entry.shard for entry in self.tensors.values()}))

    @property
    def main_dtype(self) -> str:
        """The dtype that most numbers of the checkpoint have."""
        sizes: Counter[str] = Counter()
        for entry in self.tensors.values():
            sizes[entry.dtype] += math.prod(entry.shape)
        return sizes.most_common(1)[0][0]


def read_tensor_index(directory: Path) -> TensorIndex:
    """Read the headers of all shards of a checkpoint directory.

    Missing, truncated and corrupt shards do not raise. They become the ``problems`` of the result.

    Raises:
        ValueError: if the directory has no safetensors weights at all, or its index cannot be read.
    """
    check_has_safetensors([path.name for path in directory.iterdir()], str(directory))
    if (directory / SINGLE_FILE).exists():
        return _index_of_shards(directory, {SINGLE_FILE: None})
    return _index_of_shards(directory, read_weight_map(directory / INDEX_FILE))


def check_has_safetensors(file_names: list[str], where: str) -> None:
    """Check that there are safetensors weights among the files of a checkpoint.

    Raises:
        ValueError: if there are none; says what there is instead.
    """
    if SINGLE_FILE in file_names or INDEX_FILE in file_names:
        return
    pickles = sorted(name for name in file_names if name.endswith((".bin", ".pt", ".pth")))
    if pickles:
        raise ValueError(
            f"{where} has its weights in pickle files only ({pickles[0]}), which can run code when they are "
            "read: convert the checkpoint to safetensors first, with save_pretrained where you trust it"
        )
    raise ValueError(f"{where} has no weights: expected {SINGLE_FILE} or {INDEX_FILE}")


def read_weight_map(index_file: Path) -> dict[str, set[str]]:
    """Read from a checkpoint's index file the names of the tensors that each shard should hold.

    Raises:
        ValueError: if the file is not such an index, or names a shard outside its own directory.
    """
    try:
        weight_map = read_json_object(index_file).get("weight_map")
    except ValueError as error:
        raise ValueError(f"{index_file} is not a readable index of weights: it {error}") from error
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ValueError(
            f"{index_file} is not a readable index of weights: expected a weight_map from names of tensors to names "
            "of files"
        )
    shards: dict[str, set[str]] = defaultdict(set)
    for name, shard in weight_map.items():
        shards[shard].add(name)
    for shard in shards:
        if Path(shard).name != shard or shard == "..":
            raise ValueError(f"{index_file} names a shard that is not in its directory: {shard!r}")
    return dict(sorted(shards.items()))


def read_shard_header(path: Path) -> ShardHeader:
    """Read and check the header of one safetensors file.

    Raises:
        ValueError: if the header is not valid, or the file is shorter or longer than its header says. The message
            continues a sentence that begins with the file's name.
    """
    if not path.is_file():
        raise ValueError("it is no regular file")  # a pipe would be waited for without end
    file_size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if file_size < 8 or header_bytes > min(MAX_HEADER_BYTES, file_size - 8):
            raise ValueError(
                f"it is truncated or no safetensors file (its header should take {header_bytes} bytes, "
                f"the file has {file_size})"
            )
        raw = file.read(header_bytes)
    header = parse_header(raw, path.name, data_start=8 + header_bytes)
    expected = max((end for _, end in header.extents.values()), default=header.data_start)
    if file_size != expected:
        state = "truncated" if file_size < expected else "too long"
        raise ValueError(f"it is {state} (its header describes {expected} bytes, the file has {file_size})")
    return header


def parse_header(raw: bytes, shard: str, data_start: int) -> ShardHeader:
    """Parse and check a header.

    Args:
        raw: JSON text of the header.
        shard: name of the file.
        data_start: number of bytes before the data.

    Raises:
        ValueError: if it is not a header, or a tensor's extent does not fit its dtype and shape.
    """
    try:
        fields = parse_json_object(raw)
    except ValueError as error:
        raise ValueError(f"its header is corrupt (it {error})") from error
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header is corrupt (__metadata__ is no object of texts)")
    tensors: dict[str, TensorEntry] = {}
    extents: dict[str, tuple[int, int]] = {}
    for name, value in fields.items():
        tensors[name], (begin, end) = _parse_entry(name, value, shard)
        extents[name] = data_start + begin, data_start + end
        _check_extent(name, tensors[name], extents[name])
    _check_no_gaps(extents, data_start)
    return ShardHeader(tensors, extents, data_start)


def _parse_entry(name: str, value: Any, shard: str) -> tuple[TensorEntry, tuple[int, int]]:
    """Parse a tensor's entry, and the begin and end of its bytes in the data.

    Raises:
        ValueError: if a field is missing, or is of another type than the format asks for.
    """
    fields = value if isinstance(value, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not (isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
        raise ValueError(
            f"its header is corrupt (tensor {name} has dtype {dtype!r}, shape {shape!r} and data_offsets {offsets!r}, "
            "expected a name, a list of sizes and two offsets)"
        )
    return TensorEntry(tuple(shape), dtype, shard), (offsets[0], offsets[1])


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of whole numbers that sizes in memory can have."""
    # A boolean is a whole number to Python, but not in a header.
    return isinstance(value, list) and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_SIZE for size in value
    )


def _check_extent(name: str, entry: TensorEntry, extent: tuple[int, int]) -> None:
    if entry.dtype not in TORCH_DTYPES:
        raise ValueError(f"its tensor {name} has dtype {entry.dtype}, which is not supported")
    expected = math.prod(entry.shape) * TORCH_DTYPES[entry.dtype].itemsize
    if extent[1] - extent[0] != expected:
        raise ValueError(
            f"its header is corrupt (tensor {name} of shape {entry.shape} and dtype {entry.dtype} takes "
            f"{expected} bytes, the header gives it {extent[1] - extent[0]})"
        )


def _check_no_gaps(extents: Mapping[str, tuple[int, int]], data_start: int) -> None:
    # The format allows neither gaps, which could hide data, nor bytes that belong to two tensors.
    position = data_start
    for name, (begin, end) in sorted(extents.items(), key=lambda item: item[1]):
        if begin != position:
            raise ValueError(f"its header is corrupt (tensor {name} begins at {begin}, not at {position})")
        position = end


def _index_of_shards(directory: Path, expected_names: Mapping[str, set[str] | None]) -> TensorIndex:
    tensors: dict[str, TensorEntry] = {}
    problems: list[str] = []
    for shard, names in expected_names.items():
        path = directory / shard
        if not path.exists():
            problems.append(f"shard {shard} is missing")
            continue
        try:
            found = read_shard_header(path).tensors
        except (ValueError, OSError) as error:
            problems.append(f"shard {shard} cannot be used: {error}")
            continue
        problems += [
            f"tensor {name} should be in shard {shard} by the index, but is not there"
            for name in sorted((names or found.keys()) - found.keys())
        ]
        problems += [
            f"tensor {name} is in shard {shard}, but the index does not say so"
            for name in sorted(found.keys() - (names or found.keys()))
        ]
        tensors |= found
    return TensorIndex(tensors, tuple(problems))
