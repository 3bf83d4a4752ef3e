"""Write a base model and its adapter as one checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slr.building.output_directory import copy_small_files
from slr.chat.tokenizer_files import copy_tokenizer, files_that_speak
from slr.models.adapters.config import CONFIG_FILE
from slr.models.adapters.opening import Adapter
from slr.models.checkpoint import Checkpoint, open_checkpoint
from slr.models.loading import load_weights
from slr.models.quiet_libraries import quiet_libraries
from slr.models.safetensors_index import INDEX_FILE


def write_merged_checkpoint(base: Checkpoint, adapter: Adapter, directory: Path) -> Checkpoint:
    """Merge the adapter into the base model, in its dtype, and write it; the weights of both are local.

    Returns:
        The new checkpoint under the adapter's name.

    Raises:
        ValueError: if peft cannot merge the adapter.
    """
    merged = adapter.merge_into(load_weights(base, base.dtype, device=None))
    with quiet_libraries():
        merged.save_pretrained(directory)
    # The adapter's files, such as its generation settings, go over the base model's; a tokenizer is of one of them.
    for source_dir in (base.directory, adapter.directory):
        copy_small_files(source_dir, directory, leave_out=(INDEX_FILE, CONFIG_FILE), with_tokenizer=False)
    copy_tokenizer(files_that_speak(base.directory, adapter.directory), directory)
    return replace(open_checkpoint(directory), reference=adapter.reference)
