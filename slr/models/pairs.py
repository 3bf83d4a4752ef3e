"""Which pairs of checkpoints there are by name: presets, each model with a pinned revision.

A model is a directory, a hub repository at a commit, or one that comes with a package, written
``testbed:llama/base`` or ``laptop:gemma/adapter``: such a name is the same on every machine, so records that
carry it are too. Nothing here opens a model, and nothing heavy is imported.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from slr.laptop import LAPTOP_MODELS, LaptopModel, adapter_directory
from slr.laptop.start_models import start_model_directory
from slr.runs.records import Family
from slr.terminal.bad_input import did_you_mean, expanded
from slr.testbed import FAMILIES, pair_directory

TESTBED_PREFIX = "testbed:"
LAPTOP_PREFIX = "laptop:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")


@dataclass(frozen=True)
class ModelReference:
    """Where one model's checkpoint is.

    ``location`` is a directory, a hub id such as ``Qwen/Qwen2.5-7B``, ``testbed:FAMILY/SIDE`` or
    ``laptop:MODEL/PART``. A ``revision`` (commit, tag or branch) belongs to a hub id only; None is the head
    of its main branch.
    """

    location: str
    revision: str | None = None

    @property
    def directory(self) -> Path | None:
        """The local directory meant, or None for a hub id.

        A hub id that is also the path of an existing directory means the directory. A laptop model is made
        out of its package when it is first asked for.

        Raises:
            ValueError: if the location is neither, a revision is given for a directory, or a laptop model's
                package is not installed.
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
        """What a reader on another machine is told: a hub id, a packaged model's name, or a directory's own name.

        Where a directory lies says nothing about the model, and may name the user.
        """
        if not self.location or self.location.startswith((TESTBED_PREFIX, LAPTOP_PREFIX)):
            return self.location
        path = Path(os.path.expanduser(self.location))
        is_path = path.is_absolute() or self.location.startswith(("~", ".")) or path.is_dir()
        return path.resolve().name or "model" if is_path else self.location

    @property
    def without_path(self) -> ModelReference:
        """What records and manifests call it: the same under its ``public_name``."""
        return replace(self, location=self.public_name)

    def _find_directory(self) -> Path | None:
        if self.location.startswith(TESTBED_PREFIX):
            return _testbed_directory(self.location)
        if self.location.startswith(LAPTOP_PREFIX):
            return _laptop_directory(self.location)
        path = expanded(Path(self.location), "the model")
        if self.location and path.is_dir():
            return path
        if self.location and path.exists():
            raise ValueError(
                f"{self.location} is a file: expected the directory of a checkpoint (config.json, "
                "tokenizer, model.safetensors) or a hub id such as Qwen/Qwen2.5-7B"
            )
        if not _HUB_ID.fullmatch(self.location):
            raise ValueError(
                f"there is no directory {self.location!r}, and it is no hub id either "
                "(expected ORGANISATION/MODEL, for example Qwen/Qwen2.5-7B)"
            )
        return None

    def __str__(self) -> str:
        return f"{self.location}@{self.revision}" if self.revision else self.location


class UnusablePairError(ValueError):
    """A pair that cannot be opened, loaded or computed with; the reason, and what to do."""


@dataclass(frozen=True, kw_only=True)
class PairSpec:
    """A pair by name. ``num_layers`` and ``num_parameters`` are for cost estimates before it is opened.

    ``instruct`` is a LoRA adapter of the base model if ``instruct_is_adapter``.
    """

    name: str
    family: Family
    base: ModelReference
    instruct: ModelReference
    instruct_is_adapter: bool = False
    num_layers: int | None
    num_parameters: int | None

    @property
    def names_of_paths(self) -> dict[str, str]:
        """By path, the names of those of the two models that are directories elsewhere."""
        names = {side.location: side.without_path.location for side in (self.base, self.instruct)}
        return {path: name for path, name in names.items() if path != name}


@dataclass(frozen=True)
class Preset:
    """The pairs that one run of all experiments covers, one a family."""

    name: str
    pairs: tuple[PairSpec, ...]
    description: str


def find_pair(name: str) -> PairSpec:
    """The pair of that name in any preset, such as ``testbed-llama`` or ``paper-qwen``.

    Raises:
        ValueError: if there is none; the message lists what exists.
    """
    pairs = {pair.name: pair for preset in PRESETS.values() for pair in preset.pairs}
    if name not in pairs:
        raise ValueError(
            f"INSTRUCT is missing, and there is no pair named {name!r}: expected two models, a model and an adapter, "
            f"or one of the pairs {', '.join(pairs)}{did_you_mean(name, pairs)}"
        )
    return pairs[name]


def preset_of(pair: str) -> str | None:
    """The name of the preset that has a pair of that name; None if there is none."""
    return next((p.name for p in PRESETS.values() if any(spec.name == pair for spec in p.pairs)), None)


def _testbed_directory(location: str) -> Path:
    family, _, side = location.removeprefix(TESTBED_PREFIX).partition("/")
    if family not in FAMILIES or side not in ("base", "instruct"):
        raise ValueError(
            f"there is no testbed model {location!r}: expected {TESTBED_PREFIX}FAMILY/SIDE with a family of "
            f"{', '.join(FAMILIES)} and a side of base, instruct"
        )
    return pair_directory(family) / side


def _laptop_directory(location: str) -> Path:
    name, _, part = location.removeprefix(LAPTOP_PREFIX).partition("/")
    for known in LAPTOP_MODELS:
        if name == known and part in ("base", "adapter"):
            return start_model_directory(known) if part == "base" else adapter_directory(known)
    raise ValueError(
        f"there is no laptop model {location!r}: expected {LAPTOP_PREFIX}MODEL/PART with a model of "
        f"{', '.join(LAPTOP_MODELS)} and a part of base, adapter"
    )


def _testbed_pair(family: Family, num_layers: int, num_parameters: int) -> PairSpec:
    return PairSpec(
        name=f"testbed-{family}",
        family=family,
        base=ModelReference(f"{TESTBED_PREFIX}{family}/base"),
        instruct=ModelReference(f"{TESTBED_PREFIX}{family}/instruct"),
        num_layers=num_layers,
        num_parameters=num_parameters,
    )


def _laptop_pair(family: Family, model: LaptopModel, num_layers: int, num_parameters: int) -> PairSpec:
    return PairSpec(
        name=f"laptop-{family}",
        family=family,
        base=ModelReference(f"{LAPTOP_PREFIX}{model}/base"),
        instruct=ModelReference(f"{LAPTOP_PREFIX}{model}/adapter"),
        instruct_is_adapter=True,
        num_layers=num_layers,
        num_parameters=num_parameters,
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "testbed",
            (
                _testbed_pair("llama", 12, 1_243_488),
                _testbed_pair("qwen", 10, 1_085_280),
                _testbed_pair("gemma", 14, 1_082_320),
            ),
            "three tiny pairs that ship with the package: no GPU, no download",
        ),
        Preset(
            "laptop",
            (
                _laptop_pair("llama", "smollm2", 30, 134_515_008),
                _laptop_pair("gemma", "gemma", 18, 268_098_176),
            ),
            "SmolLM2-135M and gemma-3-270m from registry packages: real English on a CPU",
        ),
        Preset(
            "small",
            (
                PairSpec(
                    name="small-llama",
                    family="llama",
                    base=ModelReference(
                        "meta-llama/Llama-3.2-1B", "4e20de362430cd3b72f300e6b0f18e50e7166e08"
                    ),
                    instruct=ModelReference(
                        "meta-llama/Llama-3.2-1B-Instruct", "9213176726f574b556790deb65791e0c5aa438b6"
                    ),
                    num_layers=16,
                    num_parameters=1_235_814_400,
                ),
                PairSpec(
                    name="small-qwen",
                    family="qwen",
                    base=ModelReference("Qwen/Qwen2.5-0.5B", "060db6499f32faf8b98477b0a26969ef7d8b9987"),
                    instruct=ModelReference(
                        "Qwen/Qwen2.5-0.5B-Instruct", "7ae557604adf67be50417f59c2c2f167def9a775"
                    ),
                    num_layers=24,
                    num_parameters=494_032_768,
                ),
                PairSpec(
                    name="small-gemma",
                    family="gemma",
                    base=ModelReference("google/gemma-3-270m", "9b0cfec892e2bc2afd938c98eabe4e4a7b1e0ca1"),
                    instruct=ModelReference(
                        "google/gemma-3-270m-it", "ac82b4e820549b854eebf28ce6dedaf9fdfa17b3"
                    ),
                    num_layers=18,
                    num_parameters=268_098_176,
                ),
            ),
            "three small pairs from the hub: one consumer GPU",
        ),
        Preset(
            "paper",
            (
                PairSpec(
                    name="paper-llama",
                    family="llama",
                    base=ModelReference(
                        "meta-llama/Llama-3.1-8B", "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"
                    ),
                    instruct=ModelReference(
                        "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659"
                    ),
                    num_layers=32,
                    num_parameters=8_030_261_248,
                ),
                PairSpec(
                    name="paper-qwen",
                    family="qwen",
                    base=ModelReference("Qwen/Qwen2.5-7B", "d149729398750b98c0af14eb82c78cfe92750796"),
                    instruct=ModelReference(
                        "Qwen/Qwen2.5-7B-Instruct", "a09a35458c702b33eeacc393d103063234e8bc28"
                    ),
                    num_layers=28,
                    num_parameters=7_615_616_512,
                ),
                PairSpec(
                    name="paper-gemma",
                    family="gemma",
                    base=ModelReference("google/gemma-2-9b", "33c193028431c2fde6c6e51f29e6f17b60cbfac6"),
                    instruct=ModelReference(
                        "google/gemma-2-9b-it", "11c9b309abf73637e4b6f9a3fa1e92e615547819"
                    ),
                    num_layers=42,
                    num_parameters=9_241_705_984,
                ),
            ),
            "the paper's models from the hub: one 80 GB GPU, or several",
        ),
    )
}
