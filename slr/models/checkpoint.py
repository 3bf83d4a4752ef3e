"""Open one checkpoint: read configuration, tokenizer and safetensors headers, but no weight.

Code from a model's repository is never run, and pickle files are never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from slr.chat.end_tokens import EndTokens, decide_end_tokens
from slr.chat.generation_settings import read_generation_config
from slr.chat.tokenizer_files import (
    PROCESSOR_TEMPLATE_FILE,
    TEKKEN_FILE,
    has_vocabulary,
    package_needed,
    tokenizer_files,
)
from slr.files.untrusted import check_files, read_json_object
from slr.models.hub import fetch_small_files, fetch_weights, read_hub_tensor_index
from slr.models.layout import ModelLayout, Shape, check_layer_counts, group_layers, model_layout
from slr.models.reference import Location, ModelReference, as_reference
from slr.models.safetensors_index import TORCH_DTYPES, TensorIndex, read_tensor_index
from slr.models.tensor_conversion import TensorConversion
from slr.models.transformers_internals import convert_tekken

QUANTIZATION_FIELDS = ("quantization_config", "quantization", "compression_config")
"""Fields of a configuration that say whether and how the weights are quantized."""

GET_ANEW = "correct it, or get the checkpoint anew"
"""Advice that ends the message about a file that cannot be read."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; no weight was read.

    Attributes:
        reference: the model; for a hub model, with the commit that was found as its revision.
        directory: directory of its small files. The weights of a hub model may not be there yet.
        config: its configuration.
        tokenizer: its tokenizer; None if it has none.
        index: its tensors, by the headers of the weight files.
        layout: the model's tensors, by the configuration.
        generation: its generation configuration.
    """

    reference: ModelReference
    directory: Path
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase | None
    index: TensorIndex
    layout: ModelLayout
    generation: GenerationConfig

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the weights cannot be used, by their headers, a line each; empty if nothing is wrong."""
        return self.index.problems or self._misfits

    @cached_property
    def conversion(self) -> TensorConversion:
        """The conversion of the tensors in the files to the model's tensors."""
        return TensorConversion(self.layout.model, self.index.tensors)

    def layer_of(self, file_tensor: str) -> int | None:
        """Find the decoder layer that a tensor in the files belongs to; None if it is outside the layers."""
        place = self.conversion.destinations.get(file_tensor)
        return self.layout.layer_of(file_tensor if place is None else place.model_name)

    @cached_property
    def _misfits(self) -> tuple[str, ...]:
        """Tensors that the model needs and that the files lack or have in another shape, a line each."""
        if not self.conversion.destinations:
            return (_foreign_names(self),)
        if (name := _first_quantized(self)) is not None:
            return (
                f"tensor {name} is stored as {self.index.tensors[name].dtype}, expected floating-point numbers of 16, "
                "32 or 64 bits: the checkpoint is quantized, and layers can be restored between full-precision ones",
            )
        found = _converted_shapes(self)
        lines = {
            name: f"configuration {shape}, weights {found.get(name, 'missing')}"
            for name, shape in self.layout.shapes.items()
            if found.get(name, "missing") != shape and not (name in self.layout.tied and name not in found)
        }
        return tuple(group_layers(lines, self.layout.layers_path))

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.config.get_text_config(decoder=True).num_hidden_layers

    @cached_property
    def token_ids(self) -> dict[str, int]:
        """The id of each token of the tokenizer, with added tokens; empty if there is no tokenizer."""
        # The property is cached, because a large tokenizer takes a quarter of a second to make the dictionary.
        return self.tokenizer.get_vocab() if self.tokenizer is not None else {}

    @property
    def num_embeddings(self) -> int:
        """Number of tokens that have an embedding in the model."""
        return self.config.get_text_config(decoder=True).vocab_size

    @cached_property
    def end_tokens(self) -> EndTokens | None:
        """The tokens that end an answer; None if there is no tokenizer."""
        if self.tokenizer is None:
            return None
        return decide_end_tokens(self.generation, self.tokenizer, self.num_embeddings)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that most of the weights have on disk."""
        return TORCH_DTYPES[self.index.main_dtype]


def open_checkpoint(location: Location, *, revision: str | None = None) -> Checkpoint:
    """Read configuration, tokenizer and safetensors headers of a checkpoint, and no weight.

    Missing, truncated and corrupt shards do not raise. They become the ``problems`` of the result.

    Args:
        location: directory or hub id of the checkpoint, or a reference to it.
        revision: commit, tag or branch of a hub id.

    Raises:
        HubError: if the hub does not give the model.
        ValueError: if there is no such checkpoint, or it is no causal language model that transformers
            knows, is quantized, or has no safetensors weights.
    """
    reference = as_reference(location, revision)
    local_directory = reference.directory
    directory = local_directory or fetch_small_files(reference)
    if local_directory is None:
        # The name of a snapshot's directory is its commit, whatever branch or tag was asked for.
        reference = replace(reference, revision=directory.name)
    check_files(directory, str(reference))
    fields = _read_config_fields(directory, reference)
    _check_config_fields(fields, reference)
    # The counts are checked before a model is built, because building a million layers would not end.
    index = read_tensor_index(directory) if local_directory else read_hub_tensor_index(reference, directory)
    check_layer_counts(fields, index, str(reference))
    config = _read_config(directory, reference)
    generation = read_generation_config(directory, config, str(reference))
    tokenizer = read_tokenizer(directory, reference)
    layout = model_layout(config, str(reference))
    return Checkpoint(reference, directory, config, tokenizer, index, layout, generation)


def with_local_weights(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same checkpoint with all its weights in ``directory``, downloaded now if they were not there.

    Raises:
        HubError: if the hub does not give the weights.
        ValueError: if a shard is missing or damaged, or tensors do not fit the configuration.
    """
    if checkpoint.reference.directory is None:
        directory = fetch_weights(checkpoint.reference, checkpoint.index.shards)
        checkpoint = replace(checkpoint, directory=directory, index=read_tensor_index(directory))
    if checkpoint.problems:
        raise ValueError(
            f"the weights of {checkpoint.reference} cannot be used: " + "; ".join(checkpoint.problems)
        )
    return checkpoint


def _converted_shapes(checkpoint: Checkpoint) -> dict[str, Shape | str]:
    """Find the shapes of the model's tensors as the files give them; in words where parts do not fit together."""
    # On the meta device the conversion computes shapes only, so it needs neither weights nor time.
    empty = {
        name: torch.empty(entry.shape, device="meta") for name, entry in checkpoint.index.tensors.items()
    }
    found: dict[str, Shape | str] = {}
    for model_name, sources in checkpoint.conversion.sources.items():
        try:
            converted = checkpoint.conversion.convert({name: empty[name] for name in sources})
            found |= {name: tuple(tensor.shape) for name, tensor in converted.items()}
        except ValueError:
            found[model_name] = (
                f"in parts that do not fit together ({sources[0]} and {len(sources) - 1} more)"
            )
    return found


def _first_quantized(checkpoint: Checkpoint) -> str | None:
    """Find a tensor that the files hold in whole numbers or 8 bits, and the model in floating-point numbers."""
    expected = checkpoint.layout.model.state_dict()
    for name, place in checkpoint.conversion.destinations.items():
        dtype = TORCH_DTYPES.get(checkpoint.index.tensors[name].dtype)
        is_full = dtype is not None and dtype.is_floating_point and dtype.itemsize > 1
        if expected[place.model_name].is_floating_point() and not is_full:
            return name
    return None


def _foreign_names(checkpoint: Checkpoint) -> str:
    return (
        f"no tensor has a name that transformers knows for {checkpoint.layout.architecture}: expected names such as "
        f"{next(iter(checkpoint.layout.shapes))}, found such as {next(iter(checkpoint.index.tensors), 'none')}"
    )


def _check_config_fields(fields: Mapping[str, Any], reference: ModelReference) -> None:
    """Check that it is the configuration of a model in full precision that transformers knows.

    Raises:
        ValueError: if the model type is not known, or the weights are quantized.
    """
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        reason = (
            "needs code from its own repository, which is never run: give a model that transformers has code for"
            if "auto_map" in fields
            else "is not known to the installed version of transformers: update that, or correct config.json"
        )
        raise ValueError(f"{reference} has model type {model_type!r}, which {reason}")
    parts = [fields, *(value for value in fields.values() if isinstance(value, dict))]
    for part in parts:
        quantization = next((part[name] for name in QUANTIZATION_FIELDS if part.get(name)), None)
        if quantization is not None:
            method = quantization.get("quant_method") if isinstance(quantization, dict) else None
            raise ValueError(
                f"{reference} is quantized{f' ({method})' if method else ''}: layers can be restored between "
                "full-precision checkpoints, so take the model that it was made from, or a dequantized copy"
            )


def _read_config(directory: Path, reference: ModelReference) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # configurations validate themselves, with errors of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"config.json of {reference} is not valid: {reason}; {GET_ANEW}") from error


def _read_config_fields(directory: Path, reference: ModelReference) -> dict[str, Any]:
    path = directory / "config.json"
    # transformers would apply an adapter without a word, even where whole weights lie next to it.
    if (directory / "adapter_config.json").exists():
        raise ValueError(
            f"{reference} has an adapter: give the model that it was trained on as the base model and this "
            "directory as --adapter, or merge it into its model and save that elsewhere"
        )
    if not path.exists():
        raise ValueError(f"{reference} has no config.json: expected the directory of a checkpoint")
    try:
        return read_json_object(path)
    except ValueError as error:
        raise ValueError(f"config.json of {reference} {error}; {GET_ANEW}") from error


def read_tokenizer(directory: Path, reference: ModelReference) -> PreTrainedTokenizerBase | None:
    """Open the tokenizer in a directory, with its chat template; None if there is none.

    Raises:
        ValueError: if it cannot be opened.
    """
    files = tokenizer_files(directory)
    if not any(has_vocabulary([name]) or name == "tokenizer_config.json" for name in files):
        return None
    if package := package_needed(files):
        raise ValueError(
            f"the tokenizer of {reference} ({', '.join(files)}) is read by a package that is not installed: "
            f"pip install {package}"
        )
    no_vocabulary = ValueError(
        f"the tokenizer of {reference} ({', '.join(files)}) has no vocabulary: expected a file such as tokenizer.json "
        "or tokenizer.model next to them"
    )
    try:
        tokenizer = _open_tokenizer(directory, files)
    except Exception as error:  # the tokenizers library raises plain Exceptions
        if not has_vocabulary(files):
            raise no_vocabulary from error
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, UnicodeDecodeError):  # the error does not name the file
            reason = f"{', '.join(name for name, path in files.items() if _is_no_text(path))} is not UTF-8"
        raise ValueError(f"the tokenizer of {reference} cannot be opened: {reason}; {GET_ANEW}") from error
    # Classes that name no vocabulary file need none. Some others would make up an empty vocabulary.
    if tokenizer.vocab_files_names and not has_vocabulary(files):
        raise no_vocabulary
    if not tokenizer.chat_template and PROCESSOR_TEMPLATE_FILE in files:
        tokenizer.chat_template = processor_template(files[PROCESSOR_TEMPLATE_FILE], reference)
    return tokenizer


def _is_no_text(path: Path) -> bool:
    """Whether a file that should be text is not in UTF-8."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return path.suffix in (".json", ".jinja", ".txt")
    return False


def _open_tokenizer(directory: Path, files: Mapping[str, Path]) -> PreTrainedTokenizerBase:
    if TEKKEN_FILE in files and "tokenizer.json" not in files:
        tokenizer = convert_tekken(files[TEKKEN_FILE])
        tokenizer.name_or_path = str(directory)
        return tokenizer
    # Without the option, mistral-common would open its own kind of tokenizer wherever it is installed.
    options = {"mistral_format": False} if TEKKEN_FILE in files else {}
    return AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True, **options)


def processor_template(path: Path, reference: ModelReference) -> str:
    """Read the chat template from the file where processors kept it, which tokenizers do not read.

    Raises:
        ValueError: if the file cannot be read, or has no text as its template.
    """
    try:
        fields = read_json_object(path)
    except ValueError as error:
        raise ValueError(f"{path.name} of {reference} has no chat_template: it {error}") from error
    template = fields.get("chat_template")
    if not isinstance(template, str):
        raise ValueError(f"chat_template in {path.name} of {reference} is no text: {str(template)[:50]}")
    return template
