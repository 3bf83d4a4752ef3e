"""Choose the tokenizer of a base model with an adapter.

It is the adapter's tokenizer with all of its files, or the base model's. Only chat templates that come without a
tokenizer are combined with the base model's tokenizer.
"""

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
    """Open the tokenizer that prompts for a base model with an adapter are rendered with; None if neither has one.

    Args:
        base: the base model.
        directory: directory of the adapter.
        reference: the adapter, for messages.

    Raises:
        ValueError: if the adapter's tokenizer cannot be opened, or its chat template would not be used.
    """
    own = tokenizer_files(directory)
    if not own:
        return base.tokenizer
    if not brings_tokenizer(own):  # the adapter has only chat templates, for the base model's tokenizer
        return _tokenizer_of_both(base, directory, reference)
    tokenizer = read_tokenizer(directory, reference)
    if tokenizer is None:
        raise ValueError(
            f"the adapter {reference} has {', '.join(own)}, but no vocabulary: put the tokenizer's other "
            "files next to them, or remove them, so that the base model's tokenizer is used"
        )
    return tokenizer


def _tokenizer_of_both(
    base: Checkpoint, adapter: Path, reference: ModelReference
) -> PreTrainedTokenizerBase | None:
    """Open the base model's tokenizer with the adapter's chat templates.

    Raises:
        ValueError: if it cannot be opened, or the adapter's chat template would not be used.
    """
    # The files are laid out as a hybrid's will be, so that transformers chooses the same template for both.
    with tempfile.TemporaryDirectory() as directory:
        copy_tokenizer(files_that_speak(base.directory, adapter), Path(directory))
        shutil.copyfile(base.directory / "config.json", Path(directory) / "config.json")
        tokenizer = read_tokenizer(Path(directory), reference)
    if tokenizer is None:
        return None
    tokenizer.name_or_path = str(adapter)
    old_form = adapter / PROCESSOR_TEMPLATE_FILE
    # transformers 4 kept the template in tokenizer_config.json. That one takes precedence over a processor's file, but
    # not over chat_template.jinja.
    if old_form.exists() and not (adapter / TEMPLATE_FILE).exists():
        template = processor_template(old_form, reference)
        if tokenizer.chat_template != template:
            raise ValueError(
                f"{old_form.name} of the adapter {reference} would not be used, because "
                f"{base.reference} has a chat template in tokenizer_config.json: put the adapter's into {TEMPLATE_FILE}"
            )
    return tokenizer
