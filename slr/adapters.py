"""PEFT LoRA adapters as the post-trained side of a pair: the instruct model is base model plus adapter.

An adapter is a directory, or a repository on the hub, with ``adapter_config.json`` and
``adapter_model.safetensors``. A tokenizer, chat template or generation configuration beside them takes the
place of the base model's; of a tokenizer all files do, or none.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from slr.compatibility import IncompatiblePairError
from slr.generation_settings import GENERATION_FILE, read_generation_config
from slr.hub import fetch_adapter
from slr.model_layout import ModelLayout, Shape, group_layers
from slr.model_pairs import ModelReference
from slr.opening import Checkpoint, Location, as_reference, processor_template, read_tokenizer
from slr.tensor_index import read_shard_header
from slr.tokenizer_files import (
    PROCESSOR_TEMPLATE_FILE,
    TEMPLATE_FILE,
    brings_tokenizer,
    copy_tokenizer,
    files_that_speak,
    tokenizer_files,
)

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

PREFIX = "base_model.model."
"""What peft puts before a tensor's name in the model."""

_LORA_TENSOR = re.compile(
    rf"{re.escape(PREFIX)}(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B)(\.weight)?"
)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter that was opened: its configuration, and the shapes of its tensors; no weight was read.

    The revision of ``reference`` is the commit that was found.
    """

    reference: ModelReference
    directory: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, Shape]

    def applied_to(self, base: Checkpoint) -> Checkpoint:
        """The base checkpoint as an instruct one: with the adapter's name, and its tokenizer if it has one.

        Raises:
            IncompatiblePairError: if the adapter has tensors that the model has no place for.
        """
        if mismatches := tuple(self._mismatches(base.layout)):
            raise IncompatiblePairError(str(base.reference), str(self.reference), mismatches)
        has_own = (self.directory / GENERATION_FILE).exists()
        return replace(
            base,
            reference=self.reference,
            tokenizer=self._tokenizer(base),
            generation=read_generation_config(self.directory, base.config, str(self.reference))
            if has_own
            else base.generation,
        )

    def merge_into(self, model: PreTrainedModel) -> PreTrainedModel:
        """The model plus the adapter. The model that is given is used up.

        Raises:
            ValueError: if peft cannot load or merge the adapter.
        """
        from peft import PeftModel

        try:
            with warnings.catch_warnings():
                # peft reads an attribute that transformers has renamed; nobody can act on it here.
                warnings.simplefilter("ignore", FutureWarning)
                merged: Any = PeftModel.from_pretrained(model, str(self.directory)).merge_and_unload()
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"peft cannot merge the adapter {self.reference}: {reason}") from error
        if (self.directory / GENERATION_FILE).exists():
            merged.generation_config = GenerationConfig.from_pretrained(self.directory)
        return merged.eval().requires_grad_(False)

    def layer_of(self, tensor_name: str, layout: ModelLayout) -> int | None:
        """The decoder layer that one of the adapter's tensors belongs to."""
        return layout.layer_of(tensor_name.removeprefix(PREFIX))

    def _tokenizer(self, base: Checkpoint) -> PreTrainedTokenizerBase | None:
        own = tokenizer_files(self.directory)
        if not own:
            return base.tokenizer
        if not brings_tokenizer(own):  # chat templates alone, for the base model's tokenizer
            return _tokenizer_of_both(base, self)
        tokenizer = read_tokenizer(self.directory, self.reference)
        if tokenizer is None:
            raise ValueError(
                f"the adapter {self.reference} has {', '.join(own)}, but no vocabulary: put the tokenizer's other "
                "files beside them, or take them away for the base model's tokenizer"
            )
        return tokenizer

    def _mismatches(self, layout: ModelLayout) -> Iterator[str]:
        lines = {}
        for name, shape in self.shapes.items():
            expected = _expected_shape(name, shape, layout)
            if expected is not None and expected != shape:
                lines[name.removeprefix(PREFIX)] = f"adapter {shape}, expected {expected} for the base model"
            elif expected is None:
                lines[name.removeprefix(PREFIX)] = "in the adapter, but the base model has no such module"
        yield from group_layers(lines, layout.layers_path)


def _tokenizer_of_both(base: Checkpoint, adapter: Adapter) -> PreTrainedTokenizerBase | None:
    """The base model's tokenizer with the adapter's chat templates, opened as the hybrid's will be."""
    with tempfile.TemporaryDirectory() as directory:
        copy_tokenizer(files_that_speak(base.directory, adapter.directory), Path(directory))
        shutil.copyfile(base.directory / "config.json", Path(directory) / "config.json")
        tokenizer = read_tokenizer(Path(directory), adapter.reference)
    if tokenizer is None:
        return None
    tokenizer.name_or_path = str(adapter.directory)
    old_form = adapter.directory / PROCESSOR_TEMPLATE_FILE
    # A template in tokenizer_config.json, where transformers 4 had it, goes before this file, but not before the other.
    if old_form.exists() and not (adapter.directory / TEMPLATE_FILE).exists():
        template = processor_template(old_form, adapter.reference)
        if tokenizer.chat_template != template:
            raise ValueError(
                f"{old_form.name} of the adapter {adapter.reference} would not be used, because "
                f"{base.reference} has a chat template in tokenizer_config.json: put the adapter's into {TEMPLATE_FILE}"
            )
    return tokenizer


def open_adapter(location: Location, *, revision: str | None = None) -> Adapter:
    """Read an adapter's configuration and header.

    Raises:
        HubError: if the hub does not give it.
        ValueError: if there is no PEFT adapter, it is not LoRA, or has no safetensors weights.
    """
    reference = as_reference(location, revision)
    directory = reference.directory
    if directory is None:
        directory = fetch_adapter(reference, WEIGHTS_FILE)
        reference = replace(reference, revision=directory.name)
    config = _read_config(directory, reference)
    if config.get("peft_type") != "LORA":
        raise ValueError(f"the adapter {reference} is of type {config.get('peft_type')!r}: expected LORA")
    if config.get("use_dora"):
        raise ValueError(
            f"the adapter {reference} is a DoRA, whose layers cannot be scaled: merge it with peft"
        )
    weights = directory / WEIGHTS_FILE
    if not weights.exists():
        raise ValueError(
            f"the adapter {reference} has no {WEIGHTS_FILE} (pickle files are never read): save it anew "
            "with peft's save_pretrained"
        )
    header = read_shard_header(weights)
    return Adapter(
        reference, directory, config, {name: entry.shape for name, entry in header.tensors.items()}
    )


def _read_config(directory: Path, reference: ModelReference) -> dict[str, Any]:
    path = directory / CONFIG_FILE
    if not path.exists():
        raise ValueError(f"{reference} has no {CONFIG_FILE}: expected the directory of a PEFT adapter")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{CONFIG_FILE} of {reference} is not readable: {error}") from error


def _expected_shape(name: str, shape: Shape, layout: ModelLayout) -> Shape | None:
    """The shape that an adapter's tensor must have, given its rank; None if it fits nowhere."""
    lora = _LORA_TENSOR.fullmatch(name)
    if lora is None:  # such as a norm or head that was trained in full
        return layout.shapes.get(name.removeprefix(PREFIX))
    weight = layout.shapes.get(f"{lora['module']}.weight")
    if weight is None or len(weight) != 2 or len(shape) != 2:
        return None
    out_features, in_features = weight
    return {
        "lora_A": (shape[0], in_features),
        "lora_B": (out_features, shape[1]),
        "lora_embedding_A": (shape[0], out_features),
        "lora_embedding_B": (in_features, shape[1]),
    }[lora["part"]]
