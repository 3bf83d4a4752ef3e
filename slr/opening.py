"""Open one checkpoint: configuration, tokenizer and safetensors headers, but no weight.

Code from a model's repository is never run, and pickle files are never read.
"""

from __future__ import annotations

import json
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

from slr.end_tokens import EndTokens, decide_end_tokens
from slr.generation_settings import read_generation_config
from slr.hub import fetch_small_files, fetch_weights, read_hub_tensor_index
from slr.model_layout import ModelLayout, model_layout
from slr.model_pairs import ModelReference
from slr.tensor_index import TORCH_DTYPES, TensorIndex, read_tensor_index
from slr.tokenizer_files import (
    PROCESSOR_TEMPLATE_FILE,
    TEKKEN_FILE,
    has_vocabulary,
    package_needed,
    tokenizer_files,
)

Location = str | Path | ModelReference
"""A directory, a hub id, a name such as ``testbed:llama/base``, or a reference with a revision."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was opened, with no weight read.

    ``directory`` has its small files; of a hub model the weights may not be there yet. The revision of
    ``reference`` is the commit that was found. ``tokenizer`` is None if the checkpoint has none.
    ``problems`` says in words, one line each, why the weights cannot be used.
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
        """What is wrong with the weight files, by their headers; empty if nothing is."""
        return (*self.index.problems, *self.layout.misfits(self.index))

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.config.get_text_config(decoder=True).num_hidden_layers

    @cached_property
    def token_ids(self) -> dict[str, int]:
        """The id of each token of the tokenizer, added ones too; empty if there is no tokenizer."""
        # Kept, for the tokenizer makes it anew at every call, which takes a quarter of a second for a large one.
        return self.tokenizer.get_vocab() if self.tokenizer is not None else {}

    @property
    def num_embeddings(self) -> int:
        """Number of tokens that the model has an embedding for."""
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

    Missing, truncated and corrupt shards do not raise; they are the ``problems`` of the result.

    Raises:
        HubError: if the hub does not give the model.
        ValueError: if there is no such checkpoint, or it is no causal language model that transformers
            knows, is quantized, or has no safetensors weights.
    """
    reference = as_reference(location, revision)
    local_directory = reference.directory
    directory = local_directory or fetch_small_files(reference)
    if local_directory is None:
        # A snapshot's directory is named by its commit, whatever branch or tag was asked for.
        reference = replace(reference, revision=directory.name)
    config = _read_config(directory, reference)
    return Checkpoint(
        reference,
        directory,
        config,
        read_tokenizer(directory, reference),
        read_tensor_index(directory) if local_directory else read_hub_tensor_index(reference, directory),
        model_layout(config, str(reference)),
        read_generation_config(directory, config, str(reference)),
    )


def with_local_weights(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with all its weights in ``directory``: downloaded now if they were not there.

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


def as_reference(location: Location, revision: str | None) -> ModelReference:
    """The reference that a location and, for a hub id, a revision mean."""
    if isinstance(location, ModelReference):
        return location if revision is None else replace(location, revision=revision)
    return ModelReference(str(location), revision)


def _read_config(directory: Path, reference: ModelReference) -> PreTrainedConfig:
    fields = _read_config_fields(directory, reference)
    model_type = fields.get("model_type")
    if model_type not in CONFIG_MAPPING:
        reason = (
            "needs code from its own repository, which is never run"
            if "auto_map" in fields
            else "is not known to the installed version of transformers"
        )
        raise ValueError(f"{reference} has model type {model_type!r}, which {reason}")
    if fields.get("quantization_config"):
        raise ValueError(
            f"{reference} is quantized: layers can be restored between full-precision checkpoints"
        )
    try:
        return AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # configurations validate themselves, with errors of many types
        raise ValueError(f"config.json of {reference} is not valid: {error}") from error


def _read_config_fields(directory: Path, reference: ModelReference) -> dict[str, Any]:
    path = directory / "config.json"
    # Beside whole weights, too, an adapter would be applied by transformers without a word.
    if (directory / "adapter_config.json").exists():
        raise ValueError(
            f"{reference} has an adapter: give the model that it was trained on as the base model and this "
            "directory as --adapter, or merge it into its model and save that elsewhere"
        )
    if not path.exists():
        raise ValueError(f"{reference} has no config.json: expected the directory of a checkpoint")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"config.json of {reference} is not readable: {error}") from error


def read_tokenizer(directory: Path, reference: ModelReference) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a directory, with its chat template; None if there is none.

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
        "or tokenizer.model beside them"
    )
    try:
        tokenizer = _open_tokenizer(directory, files)
    except Exception as error:  # tokenizers raises plain Exceptions
        if not has_vocabulary(files):
            raise no_vocabulary from error
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"the tokenizer of {reference} cannot be opened: {reason}") from error
    # Classes that name no vocabulary file need none; of the others some would make an empty vocabulary up.
    if tokenizer.vocab_files_names and not has_vocabulary(files):
        raise no_vocabulary
    if not tokenizer.chat_template and PROCESSOR_TEMPLATE_FILE in files:
        tokenizer.chat_template = processor_template(files[PROCESSOR_TEMPLATE_FILE], reference)
    return tokenizer


def _open_tokenizer(directory: Path, files: Mapping[str, Path]) -> PreTrainedTokenizerBase:
    if TEKKEN_FILE in files and "tokenizer.json" not in files:
        from transformers.integrations.mistral import (
            convert_tekken_tokenizer,  # pyright: ignore[reportPrivateImportUsage]
        )

        tokenizer = convert_tekken_tokenizer(str(files[TEKKEN_FILE]))
        tokenizer.name_or_path = str(directory)
        return tokenizer
    # Else what is opened would depend on whether mistral-common is installed, which has a tokenizer of its own kind.
    options = {"mistral_format": False} if TEKKEN_FILE in files else {}
    return AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True, **options)


def processor_template(path: Path, reference: ModelReference) -> str:
    """The chat template in the file where processors kept it, which tokenizers do not read."""
    try:
        template = json.loads(path.read_text(encoding="utf-8"))["chat_template"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path.name} of {reference} has no chat_template: {error}") from error
    if not isinstance(template, str):
        raise ValueError(f"chat_template in {path.name} of {reference} is no text: {str(template)[:50]}")
    return template
