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
from slr.models.transformers_internals import save_model


def write_merged_checkpoint(base: Checkpoint, adapter: Adapter, directory: Path) -> Checkpoint:
    """Merge an adapter into its base model, in the base model's dtype, and write the merged model.

    Args:
        base: the base model, with its weights in local files.
        adapter: the adapter.
        directory: the directory to write into.

    Returns:
        The new checkpoint under the adapter's name.

    Raises:
        ValueError: if peft cannot merge the adapter.
    """
    merged = adapter.merge_into(load_weights(base, base.dtype, device=None))
    with quiet_libraries():
        save_model(merged, directory)
    # The adapter's files, such as its generation settings, replace the base model's. The tokenizer is copied apart,
    # because all of its files must come from one of the two.
    for source_dir in (base.directory, adapter.directory):
        copy_small_files(source_dir, directory, leave_out=(INDEX_FILE, CONFIG_FILE), with_tokenizer=False)
    copy_tokenizer(files_that_speak(base.directory, adapter.directory), directory)
    return replace(open_checkpoint(directory), reference=adapter.reference)
