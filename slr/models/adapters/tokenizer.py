"""The tokenizer of a base model with an adapter: one side's as a whole, but for chat templates that come alone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from slr.chat.tokenizer_files import (
    PROCESSOR_TEMPLATE_FILE,
    TEMPLATE_FILE,
    brings_tokenizer,
    copy_tokenizer,
    files_that_speak,
    tokenizer_files,
)
from slr.models.checkpoint import Checkpoint, processor_template, read_tokenizer
from slr.models.reference import ModelReference


def tokenizer_with_adapter(
    base: Checkpoint, directory: Path, reference: ModelReference
) -> PreTrainedTokenizerBase | None:
    """The tokenizer that a base model with an adapter is asked by; None if neither has one.

    Args:
        base: the base model.
        directory: of the adapter.
        reference: the adapter's.

    Raises:
        ValueError: if the adapter's tokenizer cannot be opened, or its chat template would not be used.
    """
    own = tokenizer_files(directory)
    if not own:
        return base.tokenizer
    if not brings_tokenizer(own):  # chat templates alone, for the base model's tokenizer
        return _tokenizer_of_both(base, directory, reference)
    tokenizer = read_tokenizer(directory, reference)
    if tokenizer is None:
        raise ValueError(
            f"the adapter {reference} has {', '.join(own)}, but no vocabulary: put the tokenizer's other "
            "files beside them, or take them away for the base model's tokenizer"
        )
    return tokenizer


def _tokenizer_of_both(
    base: Checkpoint, adapter: Path, reference: ModelReference
) -> PreTrainedTokenizerBase | None:
    """The base model's tokenizer with the adapter's chat templates, opened as the hybrid's will be."""
    with tempfile.TemporaryDirectory() as directory:
        copy_tokenizer(files_that_speak(base.directory, adapter), Path(directory))
        shutil.copyfile(base.directory / "config.json", Path(directory) / "config.json")
        tokenizer = read_tokenizer(Path(directory), reference)
    if tokenizer is None:
        return None
    tokenizer.name_or_path = str(adapter)
    old_form = adapter / PROCESSOR_TEMPLATE_FILE
    # A template in tokenizer_config.json, where transformers 4 had it, goes before this file, but not before the other.
    if old_form.exists() and not (adapter / TEMPLATE_FILE).exists():
        template = processor_template(old_form, reference)
        if tokenizer.chat_template != template:
            raise ValueError(
                f"{old_form.name} of the adapter {reference} would not be used, because "
                f"{base.reference} has a chat template in tokenizer_config.json: put the adapter's into {TEMPLATE_FILE}"
            )
    return tokenizer
