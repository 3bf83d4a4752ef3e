"""Directories that are written: complete or not there at all, with the small files of what they are made from."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from slr.hub import SMALL_FILE_PATTERNS

MODEL_FILES = ("config.json", "adapter_config.json")
"""A directory with one of these holds a model, and may be replaced by another."""


def check_output(output_dir: Path, overwrite: bool) -> None:
    """Raise ``ValueError`` if the directory is there, unless it holds a model and may be overwritten."""
    if not output_dir.exists():
        return
    if not overwrite:
        raise ValueError(
            f"{output_dir} exists already: choose another output directory, or ask to overwrite it"
        )
    is_checkpoint = output_dir.is_dir() and (
        any((output_dir / name).exists() for name in MODEL_FILES) or not any(output_dir.iterdir())
    )
    if not is_checkpoint:
        raise ValueError(
            f"{output_dir} is no checkpoint directory and is not overwritten: choose another output directory"
        )


@contextmanager
def complete_or_absent(output_dir: Path) -> Iterator[Path]:
    """A directory to write into, which gets its name at the end, or is removed if anything fails."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = output_dir.with_name(f".{output_dir.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        yield partial
        _move_into_place(partial, output_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _move_into_place(partial: Path, output_dir: Path) -> None:
    if not output_dir.exists():
        partial.rename(output_dir)
        return
    replaced = partial.with_name(partial.name.replace(".partial-", ".replaced-"))
    output_dir.rename(replaced)
    try:
        partial.rename(output_dir)
    except BaseException:
        replaced.rename(output_dir)
        raise
    shutil.rmtree(replaced)


def copy_small_files(source_dir: Path, output_dir: Path, leave_out: Collection[str]) -> None:
    """Copy what a checkpoint or adapter has beside its weights, over what is there; but not these names."""
    for source in {path for pattern in SMALL_FILE_PATTERNS for path in source_dir.glob(pattern)}:
        if source.is_file() and source.name not in leave_out:
            target = output_dir / source.relative_to(source_dir)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
