"""The manifest of a built checkpoint: what it is made of, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from slr.chat.end_tokens import EndTokens
from slr.intervals import LayerInterval
from slr.models.opened_pair import OpenedPair

MANIFEST_FILE = "slr_manifest.json"

TensorSource = Literal["base", "instruct", "interpolated"]


class TensorOrigin(BaseModel):
    """Where one tensor of a built checkpoint came from, and the file that it is in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: TensorSource
    shard: str


class BuildManifest(BaseModel):
    """Models, revisions (None for a directory) and settings of a built checkpoint, and all its tensors.

    ``instruct_is_adapter``: the instruct model is the base model with that LoRA adapter. ``interval`` is
    half-open, ``alpha`` the base model's share within it. ``shards`` has each weight file
    with its SHA-256, None unless the file was verified. ``end_tokens`` are those that the generation settings
    name; None if there is no tokenizer. ``files`` are all that was written, as paths in the directory: what may
    be overwritten. A manifest may be published, so models that are directories are in it by their names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slr_version: str
    architecture: str
    base: str
    base_revision: str | None
    instruct: str
    instruct_revision: str | None
    instruct_is_adapter: bool = False
    interval: tuple[int, int]
    num_layers: int
    alpha: float
    dtype: str
    notes: tuple[str, ...]
    end_tokens: EndTokens | None = None
    shards: dict[str, str | None]
    tensors: dict[str, TensorOrigin]
    files: tuple[str, ...] = ()


def manifest_of(
    opened: OpenedPair,
    interval: LayerInterval,
    alpha: float,
    *,
    dtype: torch.dtype,
    notes: Sequence[str],
    shards: Mapping[str, str | None],
    tensors: Mapping[str, TensorOrigin],
) -> BuildManifest:
    """Return the manifest of a hybrid of a pair; it names no path, because it may be published.

    Args:
        opened: the pair.
        interval: the restored layers.
        alpha: share of the base model within the interval, in (0, 1].
        dtype: dtype of the written tensors.
        notes: what the user may want to know, a line each.
        shards: SHA-256 of each weight file in hexadecimal; None where it was not computed.
        tensors: origin of each written tensor.
    """
    return BuildManifest(
        slr_version=slr_version(),
        architecture=opened.instruct.layout.architecture,
        base=opened.base.reference.public_name,
        base_revision=opened.base.reference.revision,
        instruct=opened.instruct.reference.public_name,
        instruct_revision=opened.instruct.reference.revision,
        instruct_is_adapter=opened.adapter is not None,
        interval=interval.ends,
        num_layers=opened.instruct.num_layers,
        alpha=alpha,
        dtype=str(dtype).removeprefix("torch."),
        notes=tuple(map(opened.spec.without_paths, notes)),
        end_tokens=opened.instruct.end_tokens,
        shards=dict(shards),
        tensors=dict(tensors),
    )


def write_manifest(directory: Path, manifest: BuildManifest) -> BuildManifest:
    """Write the manifest of a directory that is else complete; returns it with all its files listed."""
    path = directory / MANIFEST_FILE
    path.touch()
    files = (file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file())
    manifest = manifest.model_copy(update={"files": tuple(sorted(files))})
    path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def read_manifest(directory: Path) -> BuildManifest | None:
    """The manifest of a directory that slr wrote; None if there is none that can be read."""
    path = directory / MANIFEST_FILE
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return BuildManifest.model_validate_json(path.read_bytes())
    except ValueError:  # pydantic's is one
        return None


def slr_version() -> str:
    """The installed version of this package."""
    try:
        return metadata.version("slr")
    except metadata.PackageNotFoundError:  # used from a source tree that is not installed
        return "not installed"
