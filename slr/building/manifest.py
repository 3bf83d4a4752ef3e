"""Record what a built checkpoint is made of, tensor by tensor, in its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from slr.chat.end_tokens import EndTokens
from slr.intervals import LayerInterval, Stack
from slr.models.opened_pair import OpenedPair
from slr.vocabulary import COMPONENTS, Component

MANIFEST_FILE = "slr_manifest.json"

TensorSource = Literal["base", "instruct", "interpolated"]


class TensorOrigin(BaseModel):
    """Where one tensor of a built checkpoint came from.

    Attributes:
        source: the model that it is from, or "interpolated" between both.
        shard: name of the file that holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: TensorSource
    shard: str


class BuildManifest(BaseModel):
    """Models, settings and tensors of a built checkpoint.

    A manifest may be published, so it has the name of a directory in place of its path.

    Attributes:
        slr_version: version of slr that wrote the checkpoint.
        architecture: name of the model's class.
        base: public name of the base model.
        base_revision: commit of the base model; None for a directory.
        instruct: public name of the instruct model or adapter.
        instruct_revision: commit of the instruct model or adapter; None for a directory.
        instruct_is_adapter: whether the instruct model is the base model with the LoRA adapter ``instruct``.
        interval: restored layers, half-open; None for a soup, of which all weights are interpolated.
        num_layers: number of decoder layers.
        alpha: share of the base model within the interval, or in a soup, in (0, 1].
        components: restored parts of each layer; None for all.
        dtype: dtype of the weights.
        notes: what the user may want to know, a line each.
        end_tokens: tokens that end an answer, as the generation settings name them; None without a tokenizer.
        shards: SHA-256 of each weight file in hexadecimal; None if it was not computed.
        tensors: origin of each tensor.
        files: paths of all written files in the directory, which are the ones that may be overwritten.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slr_version: str
    architecture: str
    base: str
    base_revision: str | None
    instruct: str
    instruct_revision: str | None
    instruct_is_adapter: bool = False
    interval: tuple[int, int] | None
    num_layers: int
    alpha: float
    components: tuple[Component, ...] | None = None
    dtype: str
    notes: tuple[str, ...]
    end_tokens: EndTokens | None = None
    shards: dict[str, str | None]
    tensors: dict[str, TensorOrigin]
    files: tuple[str, ...] = ()


def make_manifest(
    opened: OpenedPair,
    interval: LayerInterval | None,
    stack: Stack,
    *,
    dtype: torch.dtype,
    notes: Sequence[str],
    shards: Mapping[str, str | None],
    tensors: Mapping[str, TensorOrigin],
) -> BuildManifest:
    """Make the manifest of a hybrid of a pair. It names no path, because it may be published.

    Args:
        opened: the pair.
        interval: the restored layers; None for a soup.
        stack: how much of each layer is restored.
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
        interval=None if interval is None else interval.ends,
        num_layers=opened.instruct.num_layers,
        alpha=stack.alpha,
        components=None if stack.components == COMPONENTS else stack.components,
        dtype=str(dtype).removeprefix("torch."),
        notes=tuple(map(opened.spec.without_paths, notes)),
        end_tokens=opened.instruct.end_tokens,
        shards=dict(shards),
        tensors=dict(tensors),
    )


def write_manifest(directory: Path, manifest: BuildManifest) -> BuildManifest:
    """Write the manifest into a directory that is otherwise complete, and return it with all files listed."""
    path = directory / MANIFEST_FILE
    path.touch()  # so that the list of files has the manifest itself
    files = (file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file())
    manifest = manifest.model_copy(update={"files": tuple(sorted(files))})
    path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def read_manifest(directory: Path) -> BuildManifest | None:
    """Read the manifest of a directory that slr wrote; None if there is none that can be read."""
    path = directory / MANIFEST_FILE
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return BuildManifest.model_validate_json(path.read_bytes())
    except ValueError:  # pydantic's ValidationError is one
        return None


def slr_version() -> str:
    """Find the installed version of this package."""
    try:
        return metadata.version("slr")
    except metadata.PackageNotFoundError:  # the package is used from a source tree
        return "not installed"
