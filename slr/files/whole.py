"""Files that exist as a whole or not at all, whenever the process is killed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Give a path to write to; the file gets its name at the end, or is removed if anything fails.

    If the process is killed, ``.NAME.unfinished`` stays in the directory until the file is written again.

    Args:
        path: the file to write.

    Yields:
        The path to write to until the block ends.

    Raises:
        OSError: if it cannot be written; the message has the path.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        # A rename within one directory is atomic, so nobody ever sees half of the file.
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    # What a signal raises is no Exception, and must not leave half of a file either.
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text in UTF-8, as a whole or not at all.

    Raises:
        OSError: if it cannot be written; the message has the path.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
