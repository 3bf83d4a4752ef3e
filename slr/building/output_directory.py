"""Write a directory completely or not at all, and copy the small files of its sources into it."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from slr.building.manifest import MANIFEST_FILE, read_manifest
from slr.chat.tokenizer_files import is_tokenizer_file
from slr.models.hub import SMALL_FILE_PATTERNS
from slr.terminal.bad_input import expanded

SCRATCH_KINDS = ("partial", "replaced", "merged")
"""Kinds of hidden directories ``.NAME.KIND-*`` that are next to NAME while it is written.

They hold the new directory, the one that it replaces, and the model that an adapter was merged into.
"""


def resolve_output(output: str | Path) -> Path:
    """Make the path of an output directory absolute.

    Raises:
        ValueError: if it is a link, because the directory behind it would be replaced; or if it begins with the home
            directory of a user that is not known.
    """
    path = expanded(Path(output), "the output directory")
    if path.is_symlink():
        raise ValueError(
            f"{path} is a link: give the directory that it leads to, or another output directory"
        )
    return path.resolve()


def check_output(output_dir: Path, overwrite: bool) -> None:
    """Check that the directory is free, or that it may be overwritten and holds exactly the files that slr wrote.

    Raises:
        ValueError: if not; names the first file that slr did not write, or that is missing.
    """
    if not output_dir.exists():
        return
    if not overwrite:
        raise ValueError(
            f"{output_dir} exists already: choose another output directory, or ask to overwrite it"
        )
    if not output_dir.is_dir():
        raise ValueError(
            f"{output_dir} is no directory and is not overwritten: choose another output directory"
        )
    if any(output_dir.iterdir()) and (problem := _not_ours(output_dir)) is not None:
        raise ValueError(
            f"{output_dir} {problem}: it is not overwritten, because slr build overwrites only its own output. Choose "
            "another output directory, or remove it yourself"
        )


def _not_ours(directory: Path) -> str | None:
    """Say in words why a directory is not exactly what slr wrote; None if it is."""
    manifest = read_manifest(directory)
    if manifest is None:
        return f"has no readable {MANIFEST_FILE}"
    written = set(manifest.files)
    folders = {parent.as_posix() for name in written for parent in PurePosixPath(name).parents}
    found = set()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if path.is_symlink() or name not in (folders if is_folder else written):
            return f"holds {name}, which slr did not write"
        found.add(name)
    missing = sorted(written - found)
    return f"lacks {missing[0]}, which slr wrote there" if missing else None


def check_apart(output_dir: Path, source: Path) -> None:
    """Check that overwriting the output leaves a source whole, and all files that it links to.

    Raises:
        ValueError: if the source, or a file that it links to, is in the output directory.
    """
    for path in (source, *source.rglob("*")):
        if path.resolve().is_relative_to(output_dir):
            raise ValueError(
                f"{output_dir} would overwrite {path}, which the hybrid is made from: choose another output directory"
            )


def check_space(output_dir: Path, num_bytes: int) -> None:
    """Check that the disk of the output directory has room for a number of bytes; the directory need not exist yet.

    Raises:
        ValueError: if it has less room.
    """
    existing = next(parent for parent in output_dir.parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if num_bytes > free:
        raise ValueError(
            f"{output_dir} takes {num_bytes / 1e9:,.2f} GB, and its disk has {free / 1e9:,.2f} GB left: make "
            "room, or choose an output directory on another disk"
        )


def left_over(output_dir: Path) -> list[Path]:
    """Find the hidden directories next to the output that a build of it used and did not remove."""
    kinds = "|".join(SCRATCH_KINDS)
    name = re.compile(rf"\.{re.escape(output_dir.name)}\.({kinds})-\w+")
    return sorted(path for path in output_dir.parent.glob(".*") if name.fullmatch(path.name))


@contextmanager
def complete_or_absent(output_dir: Path) -> Generator[Path]:
    """Make a directory to write into, which gets its name at the end, or is removed if anything fails.

    If the process is killed, the directory stays under a hidden name; see ``left_over``.

    Raises:
        OSError: if the disk is full; the message says what to do.
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
    # The old directory is renamed first and removed last, so that at no time both are lost.
    replaced = partial.with_name(partial.name.replace(".partial-", ".replaced-"))
    output_dir.rename(replaced)
    try:
        partial.rename(output_dir)
    except BaseException:
        replaced.rename(output_dir)
        raise
    shutil.rmtree(replaced)


def small_files(source_dir: Path) -> list[Path]:
    """Find the files of a checkpoint or adapter besides its weights.

    Raises:
        ValueError: if a file is a link that leads out of the directory and not into the blobs of the hub's cache.
            Copying it could publish a private file.
    """
    found = sorted({path for pattern in SMALL_FILE_PATTERNS for path in source_dir.glob(pattern)})
    files = [path for path in found if path.is_file()]
    for path in files:
        if not leads_into_checkpoint(path, source_dir):
            raise ValueError(
                f"{path} is a link that leads out of its checkpoint, and is not copied: put the file itself there, or "
                "remove the link"
            )
    return files


def leads_into_checkpoint(path: Path, directory: Path) -> bool:
    """Whether a file of a checkpoint's directory really is there, or is a blob in the hub's cache.

    Args:
        path: the file, perhaps a link.
        directory: the directory.
    """
    directory = directory.resolve()
    resolved = path.resolve()
    blobs = directory.parent.parent / "blobs"
    return resolved.is_relative_to(directory) or (
        directory.parent.name == "snapshots" and resolved.is_relative_to(blobs)
    )


def copy_small_files(
    source_dir: Path, output_dir: Path, leave_out: Collection[str], *, with_tokenizer: bool = True
) -> None:
    """Copy the files that ``small_files`` finds, and replace files of the same name.

    Args:
        source_dir: directory of the checkpoint or adapter.
        output_dir: directory to copy into.
        leave_out: names of files that are not copied.
        with_tokenizer: whether files of the tokenizer are copied.

    Raises:
        ValueError: as ``small_files``.
    """
    for source in small_files(source_dir):
        name = source.relative_to(source_dir).as_posix()
        is_wanted = with_tokenizer or not is_tokenizer_file(name)
        if is_wanted and source.name not in leave_out:
            target = output_dir / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
