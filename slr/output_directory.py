"""Directories that are written: complete or not there at all, with the small files of what they are made from."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from slr.hub import SMALL_FILE_PATTERNS
from slr.tokenizer_files import is_tokenizer_file

MODEL_FILES = ("config.json", "adapter_config.json")
"""A directory with one of these holds a model, and may be replaced by another."""

SCRATCH_KINDS = ("partial", "replaced", "merged")
"""``.NAME.KIND-*`` is beside NAME while it is written: what is written, what it replaces, a merged adapter."""


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


def check_space(output_dir: Path, num_bytes: int) -> None:
    """Raise ``ValueError`` unless the disk of the output directory, which may not exist yet, has that much room."""
    existing = next(parent for parent in output_dir.parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if num_bytes > free:
        raise ValueError(
            f"{output_dir} takes {num_bytes / 1e9:,.2f} GB, and its disk has {free / 1e9:,.2f} GB left: make "
            "room, or choose an output directory on another disk"
        )


def left_over(output_dir: Path) -> list[Path]:
    """Hidden directories beside the output that a build of it wrote into and did not come to remove."""
    kinds = "|".join(SCRATCH_KINDS)
    name = re.compile(rf"\.{re.escape(output_dir.name)}\.({kinds})-\w+")
    return sorted(path for path in output_dir.parent.glob(".*") if name.fullmatch(path.name))


@contextmanager
def complete_or_absent(output_dir: Path) -> Iterator[Path]:
    """A directory to write into, which gets its name at the end, or is removed if anything fails.

    Where the process is killed, it stays under a hidden name; see ``left_over``.

    Raises:
        OSError: if what is written does not fit the disk; the message says so.
    """
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = output_dir.with_name(f".{output_dir.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        yield partial
        _move_into_place(partial, output_dir)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                f"the disk of {output_dir} is full, and what was written is removed: make room, or choose "
                "an output directory on another disk"
            ) from error
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


def copy_small_files(
    source_dir: Path, output_dir: Path, leave_out: Collection[str], *, with_tokenizer: bool = True
) -> None:
    """Copy what a checkpoint or adapter has beside its weights, over what is there; but not these names."""
    for source in {path for pattern in SMALL_FILE_PATTERNS for path in source_dir.glob(pattern)}:
        name = source.relative_to(source_dir).as_posix()
        is_wanted = with_tokenizer or not is_tokenizer_file(name)
        if source.is_file() and is_wanted and source.name not in leave_out:
            target = output_dir / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
