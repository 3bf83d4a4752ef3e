"""Files that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what is to be at ``path``: it gets its name at the end, or is removed if anything fails.

    Where the process is killed, ``.NAME.unfinished`` stays beside it, until the file is written again.

    Raises:
        OSError: if it cannot be written, with the path.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text in UTF-8.

    Raises:
        OSError: if it cannot be written, with the path.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
