"""Files that are replaced together: they are written elsewhere first, so that a failure leaves the old ones."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def all_or_nothing(output_dir: Path) -> Generator[Path]:
    """Give a directory to write into in place of ``output_dir``. Its files move there at the end, if nothing fails.

    Files next to that directory move next to ``output_dir``. Files of ``output_dir`` with other names stay.
    """
    # The last part of a path that ends in ".." is not the directory's name.
    output_dir = output_dir.resolve() if ".." in output_dir.parts else output_dir
    with TemporaryDirectory(prefix="slr-figures-") as scratch:
        yield Path(scratch) / output_dir.name
        _replace_all(Path(scratch), output_dir.parent)


def _replace_all(source: Path, target: Path) -> None:
    """Copy every file next to its target, then rename all, so that a full disk is noticed before any is replaced."""
    unfinished: dict[Path, Path] = {}
    try:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            destination = target / file.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            # In the same directory, because a rename is sure to replace a file only within one file system.
            part = destination.with_name(f".{destination.name}.part")
            unfinished[part] = destination
            shutil.copyfile(file, part)
        for part, destination in unfinished.items():
            part.replace(destination)
    finally:
        for part in unfinished:
            with suppress(OSError):
                part.unlink(missing_ok=True)
