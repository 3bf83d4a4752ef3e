"""The files of a checkpoint's directory, which anybody may have made: read none that could hang or mislead."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 200_000_000
"""Larger than any index of weights or tokenizer."""

READ_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")
"""Of files that this package or transformers opens; a directory of such a name would fail there."""

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_files(directory: Path, where: str) -> None:
    """Raise unless everything in a checkpoint's directory is a regular file or a subdirectory.

    A pipe in place of a file would be waited for without end.

    Raises:
        ValueError: with the first that is something else; ``where`` says whose directory it is.
    """
    for path in sorted(directory.iterdir()):
        kind = _kind(path)
        if kind is not None and not (kind == "a directory" and path.suffix not in READ_SUFFIXES):
            raise ValueError(f"{path.name} of {where} is {kind}: expected a regular file, or none")


def read_json_object(path: Path, max_bytes: int | None = None) -> dict[str, Any]:
    """The JSON object in a file of at most ``max_bytes``, by default ``MAX_JSON_BYTES``.

    Raises:
        ValueError: if the file is none, or holds something else; the message goes on after the file's name.
    """
    if (kind := _kind(path)) is not None:
        raise ValueError(f"is {kind}: expected a regular file")
    max_bytes = max_bytes or MAX_JSON_BYTES
    if path.stat().st_size > max_bytes:
        raise ValueError(f"is larger than {max_bytes // 1_000_000} MB: expected a file of settings")
    return parse_json_object(path.read_bytes())


def parse_json_object(text: bytes) -> dict[str, Any]:
    """The JSON object of that text, in UTF-8.

    Raises:
        ValueError: if it is none, or names something twice.
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
    """What a path leads to, in words; None for a regular file and for nothing at all."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), None)
