"""Read files of a checkpoint's directory, which a stranger may have made, without hanging or being misled."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 200_000_000
"""Largest size of a JSON file in bytes. Every index of weights and every tokenizer is smaller."""

READ_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")
"""Suffixes of files that this package or transformers opens. A directory of such a name would fail there."""

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_files(directory: Path, where: str) -> None:
    """Check that everything in a checkpoint's directory is a regular file or a subdirectory.

    A program that reads a pipe in place of a file would wait without end.

    Args:
        directory: the checkpoint's directory.
        where: the directory in words, for the message.

    Raises:
        ValueError: if something else is in it; names the first.
    """
    for path in sorted(directory.iterdir()):
        kind = _kind(path)
        if kind is not None and not (kind == "a directory" and path.suffix not in READ_SUFFIXES):
            raise ValueError(f"{path.name} of {where} is {kind}: expected a regular file, or none")


def read_json_object(path: Path, max_bytes: int | None = None) -> dict[str, Any]:
    """Read the JSON object in a file.

    Args:
        path: the file.
        max_bytes: largest size of the file; ``MAX_JSON_BYTES`` by default.

    Raises:
        ValueError: if it holds something else or is too large. The message continues a sentence that begins
            with the file's name.
    """
    if (kind := _kind(path)) is not None:
        raise ValueError(f"is {kind}: expected a regular file")
    max_bytes = max_bytes or MAX_JSON_BYTES
    if path.stat().st_size > max_bytes:
        raise ValueError(f"is larger than {max_bytes // 1_000_000} MB: expected a file of settings")
    return parse_json_object(path.read_bytes())


def parse_json_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8.

    Raises:
        ValueError: if it is something else, or has a name twice.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("is not readable: it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not readable: it is not UTF-8 ({error})") from error
    except ValueError as error:
        raise ValueError(f"is not readable: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"is not readable: expected a JSON object, found {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} twice")
    return found


def _kind(path: Path) -> str | None:
    """Say in words what a path leads to; None for a regular file and for nothing at all."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), None)
