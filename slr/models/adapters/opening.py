"""Open a PEFT LoRA adapter as the post-trained side of a pair: the instruct model is base model plus adapter.

An adapter is a directory, or a repository on the hub, with ``adapter_config.json`` and ``adapter_model.safetensors``.
If a tokenizer, chat template or generation configuration lies next to them, it replaces the base model's. A tokenizer
is replaced by all of its files or by none.

The merged model computes the same as peft does with the adapter. An adapter for which this would not hold is refused
before a weight is read. Its file may lack tensors, or have other tensors than its configuration asks for. Or it changes
the base model in a way that no checkpoint of that architecture can hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from slr.chat.generation_settings import GENERATION_FILE, read_generation_config
from slr.files.untrusted import check_files
from slr.models.adapters.config import CONFIG_FILE, AdapterConfig, parse_config, read_config_fields
from slr.models.adapters.patterns import shortened
from slr.models.adapters.tokenizer import tokenizer_with_adapter
from slr.models.checkpoint import Checkpoint
from slr.models.compatibility import IncompatiblePairError
from slr.models.hub import fetch_adapter
from slr.models.layout import ModelLayout, Shape, group_layers
from slr.models.quiet_libraries import quiet_libraries
from slr.models.reference import Location, ModelReference, as_reference
from slr.models.safetensors_index import TORCH_DTYPES, read_shard_header

if TYPE_CHECKING:
    from slr.models.adapters.placement import Placement

WEIGHTS_FILE = "adapter_model.safetensors"

PREFIX = "base_model.model."
"""Prefix that peft puts before a tensor's name in the model."""

NUM_NAMES_SHOWN = 3
"""Largest number of names in a list of a message."""
NUM_LINES_SHOWN = 20
"""Largest number of lines in a list of mismatches."""

EMBEDDING_SUFFIXES = tuple(
    f"{module}.{part}weight"
    for module in ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")
    for part in ("", "base_layer.", "token_adapter.base_layer.")
)
"""Suffixes of the names of embeddings and heads, which have a row for each token."""

_LORA_PART = re.compile(r"\.lora_.*$")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Adapter:
    """An opened LoRA adapter; no weight was read.

    Attributes:
        reference: the adapter; on the hub, with the commit that was found as its revision.
        directory: local directory of its files.
        fields: content of ``adapter_config.json``.
        config: the fields that decide what the adapter computes, checked.
        shapes: shape of each tensor, by its name in the file.
    """

    reference: ModelReference
    directory: Path
    fields: Mapping[str, Any]
    config: AdapterConfig
    shapes: Mapping[str, Shape]

    def applied_to(self, base: Checkpoint) -> Checkpoint:
        """Return the base checkpoint under the adapter's name, with the adapter's tokenizer if it has one.

        Raises:
            IncompatiblePairError: if the adapter has tensors that the model has no place for.
            ValueError: if it lacks tensors, was made for another commit of the base model, or changes the base
                model in a way that no checkpoint of its architecture can hold.
        """
        self.placed_in(base)
        has_own = (self.directory / GENERATION_FILE).exists()
        return replace(
            base,
            reference=self.reference,
            tokenizer=tokenizer_with_adapter(base, self.directory, self.reference),
            generation=read_generation_config(self.directory, base.config, str(self.reference))
            if has_own
            else base.generation,
        )

    def placed_in(self, base: Checkpoint) -> Placement:
        """Find where the adapter's tensors go in the base model.

        Raises:
            IncompatiblePairError: as ``applied_to``.
            ValueError: as ``applied_to``.
        """
        from slr.models.adapters.placement import (  # it imports peft, which takes a second
            peft_renames,
            place,
        )

        self._check_revision(base.reference)
        try:
            placement = place(self.config, base)
        except ValueError as error:
            raise ValueError(
                f"the adapter {self.reference} does not fit {base.reference}: {error}"
            ) from error
        self._check_biases(placement, base.layout)
        self._check_ranks(placement)
        if mismatches := tuple(self._mismatches(placement, base.layout)):
            # peft may know the file's names as the old names of modules. Trying that takes time, so it comes last.
            if not peft_renames(self.config, base, self.shapes):
                raise IncompatiblePairError(str(base.reference), str(self.reference), mismatches)
            placement = replace(placement, is_renamed=True)
        else:
            self._check_complete(placement)
        if placement.ties == "apart":
            raise ValueError(
                f"the adapter {self.reference} changes embedding or head of {base.reference} each for itself, but the "
                "two share their weights there, so no checkpoint of that kind holds the trained weights: save the base "
                "model with tie_word_embeddings=False and a copy of the embedding as lm_head, and give that as BASE"
            )
        return placement

    def notes(self, base: Checkpoint) -> tuple[str, ...]:
        """Write what the user may want to know about the adapter and its base model, a line each."""
        notes = []
        named = self.config.base_model_name_or_path
        if named and _names_another_model(named, base.reference):
            notes.append(
                f"the adapter {self.reference} was made for {shortened(named)} (by its {CONFIG_FILE}), and the base "
                f"model given is {base.reference}: the result is of use only if the two have the same weights"
            )
        if self._changes_nothing():
            notes.append(
                f"the adapter {self.reference} changes nothing, because each of its updates has a factor of zero"
            )
        if self.config.unknown:
            notes.append(
                f"{CONFIG_FILE} of {self.reference} sets fields that are not known here and were ignored: "
                f"{_listed(self.config.unknown)}"
            )
        return tuple(notes)

    def merge_into(self, model: PreTrainedModel) -> PreTrainedModel:
        """Merge the adapter into a model, which is used up, and return the merged model.

        Raises:
            ValueError: if the adapter holds numbers that are not finite, or peft cannot load or merge it.
        """
        from peft import PeftModel

        from slr.models.adapters.placement import peft_config

        self._check_finite()
        try:
            with quiet_libraries():
                config = peft_config(self.config, model, initialise=True)
                adapted: Any = PeftModel.from_pretrained(model, str(self.directory), config=config)
                if self.config.ensure_weight_tying:
                    _unwrap_tied_head(adapted)
                merged: Any = adapted.merge_and_unload()
        except Exception as error:  # peft and torch raise errors of many types
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"peft cannot merge the adapter {self.reference}: {reason}") from error
        if (self.directory / GENERATION_FILE).exists():
            merged.generation_config = read_generation_config(
                self.directory, merged.config, str(self.reference)
            )
        return merged.eval().requires_grad_(False)

    def layer_of(self, tensor_name: str, layout: ModelLayout) -> int | None:
        """Find the decoder layer that one of the adapter's tensors belongs to."""
        return layout.layer_of(tensor_name.removeprefix(PREFIX))

    def _check_revision(self, base: ModelReference) -> None:
        named, revision = self.config.base_model_name_or_path, self.config.revision or ""
        found = base.revision or ""
        # A branch or tag may mean any commit, so only two commits can be compared.
        if (
            named == base.location
            and _COMMIT.fullmatch(revision)
            and _COMMIT.fullmatch(found)
            and revision != found
        ):
            raise ValueError(
                f"the adapter {self.reference} was made for commit {revision} of {named}, and the base model given is "
                f"its commit {found}: give --base-revision {revision}"
            )

    def _check_ranks(self, placement: Placement) -> None:
        """Check that the file's tensors have the ranks of the configuration.

        Raises:
            ValueError: if some have another rank. One line says it better than a line for each tensor.
        """
        wrong: dict[str, tuple[int, int]] = {}
        for name, shape in self.shapes.items():
            expected = placement.needed.get(name, shape)
            axis = _rank_axis(name)
            if axis is None or len(shape) != 2 or len(expected) != 2 or shape == expected:
                continue
            # The other axis has the size of the base model's. If it differs, the adapter belongs to another model, and
            # ``_mismatches`` says so.
            if shape[1 - axis] != expected[1 - axis]:
                return
            wrong[_module(name)] = shape[axis], expected[axis]
        if wrong:
            module, (found, expected_rank) = next(iter(wrong.items()))
            raise ValueError(
                f"{WEIGHTS_FILE} of {self.reference} has {len(wrong)} modules of another rank than r and rank_pattern "
                f"in {CONFIG_FILE} say, such as {module} with {found} in place of {expected_rank}: correct the "
                "configuration to the ranks that the adapter was trained with"
            )

    def _check_biases(self, placement: Placement, layout: ModelLayout) -> None:
        """Check that the base model has a bias for each bias of the adapter, which is merged into it.

        Raises:
            ValueError: if it lacks one.
        """
        modules = [_module(name) for name in placement.needed if name.endswith(".lora_B.bias")]
        if without := [module for module in modules if f"{module}.bias" not in layout.shapes]:
            raise ValueError(
                f"the adapter {self.reference} has biases (lora_bias in {CONFIG_FILE}) for {len(without)} modules that "
                f"have none in the base model, {_listed(without)}, so no checkpoint of that kind holds what was "
                "trained: give an adapter without biases"
            )

    def _mismatches(self, placement: Placement, layout: ModelLayout) -> Iterator[str]:
        places = {**placement.accepted, **placement.needed}
        texts = {
            _shown(name): text
            for name, shape in self.shapes.items()
            if (text := _misfit(shape, places.get(name), name))
        }
        lines = list(group_layers(texts, layout.layers_path))
        yield from lines[:NUM_LINES_SHOWN]
        if len(lines) > NUM_LINES_SHOWN:
            yield f"and {len(lines) - NUM_LINES_SHOWN} more lines like these"
        if lines and (named := self.config.base_model_name_or_path):
            yield f"base model: {CONFIG_FILE} of the adapter names {shortened(named)}"

    def _check_complete(self, placement: Placement) -> None:
        lost = dict.fromkeys(_module(name) for name in placement.needed if name not in self.shapes)
        if lost:
            total = len(dict.fromkeys(map(_module, placement.needed)))
            raise ValueError(
                f"{WEIGHTS_FILE} of {self.reference} lacks tensors of {len(lost)} of the {total} modules that its "
                f"{CONFIG_FILE} is for: {_listed(lost)}. Save the adapter anew with all its weights gathered, or, if "
                "they were left out on purpose, name them in exclude_modules"
            )

    def _changes_nothing(self) -> bool:
        """Whether the adapter is as peft makes it before any training."""
        if self.config.changes_base_weights or any(_rank_axis(name) is None for name in self.shapes):
            return False
        # An update is the product of two factors. peft begins with one of them zero, so that the update is zero.
        with safe_open(self.directory / WEIGHTS_FILE, framework="pt") as tensors:
            zero = {_module(name) for name in self.shapes if not tensors.get_tensor(name).any()}
        return zero == {_module(name) for name in self.shapes}

    def _check_finite(self) -> None:
        with safe_open(self.directory / WEIGHTS_FILE, framework="pt") as tensors:
            broken = [
                name
                for name in tensors.keys()  # noqa: SIM118
                if not torch.isfinite(tensors.get_tensor(name).float()).all()
            ]
        if broken:
            raise ValueError(
                f"{WEIGHTS_FILE} of {self.reference} holds NaN or infinity in {len(broken)} tensors: "
                f"{_listed(broken)}; give an adapter whose training did not diverge"
            )


def open_adapter(location: Location, *, revision: str | None = None) -> Adapter:
    """Read an adapter's configuration and the header of its weight file.

    Args:
        location: directory or hub id of the adapter, or a reference to it.
        revision: commit, tag or branch of a hub id.

    Raises:
        HubError: if the hub does not give it.
        ValueError: if there is no PEFT adapter, or it is not LoRA, has a configuration that peft cannot use, or has
            no safetensors weights or empty ones.
    """
    reference = as_reference(location, revision)
    directory = reference.directory
    if directory is None:
        directory = fetch_adapter(reference, WEIGHTS_FILE)
        reference = replace(reference, revision=directory.name)
    check_files(directory, f"the adapter {reference}")
    fields = read_config_fields(directory, reference)
    weights = directory / WEIGHTS_FILE
    if not weights.is_file():
        raise ValueError(
            f"the adapter {reference} has no {WEIGHTS_FILE} (pickle files are never read): save it anew "
            "with peft's save_pretrained"
        )
    config = parse_config(fields, reference)
    return Adapter(reference, directory, fields, config, _read_shapes(weights, reference))


def _read_shapes(weights: Path, reference: ModelReference) -> dict[str, Shape]:
    try:
        tensors = read_shard_header(weights).tensors
    except ValueError as error:
        raise ValueError(f"{WEIGHTS_FILE} of {reference} cannot be used: {error}") from error
    empty = [name for name, entry in tensors.items() if 0 in entry.shape]
    if empty or not tensors:
        found = f"has {len(empty)} tensors of size 0, {_listed(empty)}" if empty else "has no tensors"
        raise ValueError(
            f"{WEIGHTS_FILE} of {reference} {found}, as DeepSpeed ZeRO-3 and FSDP leave it where the weights are not "
            "gathered: save the adapter anew with them gathered"
        )
    odd = [name for name, entry in tensors.items() if not TORCH_DTYPES[entry.dtype].is_floating_point]
    if odd:
        raise ValueError(
            f"{WEIGHTS_FILE} of {reference} has {len(odd)} tensors that are no floating-point numbers: {_listed(odd)}"
        )
    return {name: entry.shape for name, entry in tensors.items()}


def _unwrap_tied_head(adapted: Any) -> None:
    """Take the adapter off a head that shares its weights and its adapter with the embedding.

    Merging the embedding's adapter changes the shared weights already. With the head's adapter too, peft would add the
    same change twice.
    """
    from peft.tuners.lora import LoraLayer

    model = adapted.get_base_model()
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if (
        isinstance(embedding, LoraLayer)
        and isinstance(head, LoraLayer)
        and head.get_base_layer().weight is embedding.get_base_layer().weight
    ):
        model.set_output_embeddings(head.get_base_layer())


def _rank_axis(name: str) -> int | None:
    """Find the axis of a LoRA tensor whose size is the rank; None for other tensors."""
    if ".lora_A" in name or ".lora_embedding_A" in name:
        return 0
    return 1 if ".lora_B" in name or ".lora_embedding_B" in name else None


def _module(name: str) -> str:
    """Find the module in the model that one of an adapter's tensors belongs to."""
    name = _LORA_PART.sub("", name.removeprefix(PREFIX))
    for part in (".weight", ".bias", ".base_layer", ".token_adapter.trainable_tokens_delta"):
        name = name.removesuffix(part)
    return name


def _misfit(shape: Shape, place: Shape | None, name: str) -> str | None:
    """Say what is wrong with a tensor's shape, given the shape that the base model has a place for; None if nothing."""
    if place is None:
        return "in the adapter, but the base model has no such module, or not under that name"
    if place == shape:
        return None
    text = f"adapter {shape}, expected {place} for the base model"
    if (
        ".lora_" not in name
        and len(shape) == 2
        and shape[1:] == place[1:]
        and name.endswith(EMBEDDING_SUFFIXES)
    ):
        text += f" (resize that to {shape[0]} tokens with resize_token_embeddings, and give it as BASE)"
    return text


def _shown(name: str) -> str:
    name = name.removeprefix(PREFIX)
    return name if name.isprintable() and len(name) <= 200 else shortened(name)


def _listed(names: Iterable[str]) -> str:
    """Write the first names, and how many more there are."""
    shown = [_shown(name) for name in names]
    more = len(shown) - NUM_NAMES_SHOWN
    return ", ".join(shown[:NUM_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _names_another_model(named: str, base: ModelReference) -> bool:
    """Whether an adapter's configuration names another base model than the one given."""
    if named == base.location:
        return False
    directory = base.directory
    if _is_directory(named):
        return directory is None or Path(named).resolve() != directory.resolve()
    if directory is None and _HUB_ID.fullmatch(named):
        return True
    # A hub model, or a directory of another machine, may lie here under the same last name.
    return _model_name(Path(named)) != _model_name(directory or Path(base.location))


def _is_directory(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # for example because the name is too long
        return False


def _model_name(path: Path) -> str:
    """Find the last part of a model's name, even if the path is in the hub's cache."""
    cached = next((part for part in reversed(path.parts) if part.startswith("models--")), None)
    return (cached.split("--")[-1] if cached else path.name).lower()
