"""Name a model or a pair of models, without opening it.

A model is a directory, a hub repository at a commit, or a model that comes with a package. The latter is written
``testbed:llama/base`` or ``laptop:gemma/adapter``. A packaged model has the same name on every machine, so records
that carry it are the same too. Nothing here opens a model or imports a heavy package.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from slr.models.packaged import LAPTOP_PREFIX, TESTBED_PREFIX, packaged_directory
from slr.terminal.bad_input import expanded

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")


@dataclass(frozen=True)
class ModelReference:
    """Where one model's checkpoint is.

    Attributes:
        location: a directory, a hub id such as ``Qwen/Qwen2.5-7B``, ``testbed:FAMILY/SIDE`` or
            ``laptop:MODEL/PART``.
        revision: commit, tag or branch of a hub id; None for the head of its main branch. Only a hub id has one.
    """

    location: str
    revision: str | None = None

    @property
    def directory(self) -> Path | None:
        """The local directory that is meant, or None for a hub id.

        A hub id that is also the path of an existing directory means the directory. A laptop model is made
        out of its package when it is first asked for.

        Raises:
            ValueError: if the location is neither a directory nor a hub id, a revision is given for a directory, or a
                laptop model's package is not installed.
        """
        directory = self._find_directory()
        if directory is not None and self.revision is not None:
            raise ValueError(
                f"{self.location} is a directory, and revision {self.revision} was given for it: "
                "only models on the hub have revisions"
            )
        return directory

    @property
    def public_name(self) -> str:
        """Name for readers on other machines: a hub id, a packaged model's name, or a directory's own name.

        The path of a directory says nothing about the model, and may name the user.
        """
        if not self.location or self.location.startswith((TESTBED_PREFIX, LAPTOP_PREFIX)):
            return self.location
        path = Path(os.path.expanduser(self.location))  # noqa: PTH111 - pathlib raises where there is no such user
        is_path = path.is_absolute() or self.location.startswith(("~", ".")) or path.is_dir()
        return path.resolve().name or "model" if is_path else self.location

    @property
    def without_path(self) -> ModelReference:
        """The same model under its ``public_name``, as records and manifests call it."""
        return replace(self, location=self.public_name)

    def _find_directory(self) -> Path | None:
        if (packaged := packaged_directory(self.location)) is not None:
            return packaged
        path = expanded(Path(self.location), "the model")
        try:
            is_directory, is_there = path.is_dir(), path.exists()
        except OSError:  # the name is too long to be a path
            is_directory = is_there = False
        if self.location and is_directory:
            return path
        if self.location and is_there:
            raise ValueError(
                f"{self.location} is a file: expected the directory of a checkpoint (config.json, "
                "tokenizer, model.safetensors) or a hub id such as Qwen/Qwen2.5-7B"
            )
        if not _HUB_ID.fullmatch(self.location):
            raise ValueError(
                f"there is no directory {self.location[:200]!r}, and it is no hub id either "
                "(expected ORGANISATION/MODEL, for example Qwen/Qwen2.5-7B)"
            )
        return None

    def __str__(self) -> str:
        """Write the location, and the revision if there is one."""
        return f"{self.location}@{self.revision}" if self.revision else self.location


class UnusablePairError(ValueError):
    """A pair cannot be opened, loaded or computed with; the message has the reason and what to do."""


@dataclass(frozen=True, kw_only=True)
class PairSpec:
    """A pair by name.

    Attributes:
        name: name of the pair.
        family: family of the architecture, any name; None until the models' configuration is read.
        base: the base model.
        instruct: the instruct model, or a LoRA adapter of the base model.
        instruct_is_adapter: whether ``instruct`` is an adapter.
        num_layers: number of decoder layers, by which costs are estimated before the pair is opened; None if unknown.
        num_parameters: number of weights of one model, for the same estimates; None if unknown.
    """

    name: str
    family: str | None
    base: ModelReference
    instruct: ModelReference
    instruct_is_adapter: bool = False
    num_layers: int | None
    num_parameters: int | None

    def without_paths(self, text: str) -> str:
        """Replace the paths of the pair's models in a text by their names, and the user's home directory by ``~``.

        Records and manifests may be published, and a path may name the user.
        """
        locations = {side.location: side.public_name for side in (self.base, self.instruct)}
        # The longest path goes first, because one path may begin with the other.
        for path in sorted(locations, key=len, reverse=True):
            text = text.replace(path, locations[path])
        home = str(Path.home())
        return text if len(Path(home).parts) < 2 else text.replace(home, "~")


Location = str | Path | ModelReference
"""Location of a model: a directory, a hub id, a name such as ``testbed:llama/base``, or a reference."""


def as_reference(location: Location, revision: str | None = None) -> ModelReference:
    """Return the reference that a location means; a revision belongs to a hub id only."""
    if isinstance(location, ModelReference):
        return location if revision is None else replace(location, revision=revision)
    return ModelReference(str(location), revision)
