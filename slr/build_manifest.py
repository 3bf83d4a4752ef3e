"""The manifest of a built checkpoint: what it is made of, tensor by tensor."""

from __future__ import annotations

from importlib import metadata
from typing import Literal

from pydantic import BaseModel, ConfigDict

from slr.model_pairs import ModelReference
from slr.provenance import without_paths

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
    with its SHA-256, None unless the file was verified.
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
    shards: dict[str, str | None]
    tensors: dict[str, TensorOrigin]

    def without_paths(self) -> BuildManifest:
        """As it is published: models that are directories by their names."""
        base, instruct = (ModelReference(location) for location in (self.base, self.instruct))
        names = {side.location: side.without_path.location for side in (base, instruct)}
        return self.model_copy(
            update={
                "base": names[self.base],
                "instruct": names[self.instruct],
                "notes": tuple(without_paths(note, names) for note in self.notes),
            }
        )


def slr_version() -> str:
    """The installed version of this package."""
    try:
        return metadata.version("slr")
    except metadata.PackageNotFoundError:  # used from a source tree that is not installed
        return "not installed"
