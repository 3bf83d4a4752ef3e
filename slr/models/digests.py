"""Digest a checkpoint's directory, to find out whether numbers that were measured on it still hold for it.

Each part has its own digest, so that a change can be named: weights, configuration, generation configuration, adapter
configuration, tokenizer, chat template. The path of the directory and the dates of its files are not digested, so a
copy is the same checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from slr.chat.tokenizer_files import brings_tokenizer, is_template_file, tokenizer_files
from slr.files.untrusted import read_json_object

WEIGHTS = "*.safetensors"
"""Pattern of the names of weight files."""
JSON_PARTS = {
    "config.json": "configuration",
    "generation_config.json": "generation configuration",
    "adapter_config.json": "adapter configuration",
    "model.safetensors.index.json": "index of shards",
}
"""Name of the part that each JSON file is."""
TOKENIZER_CONFIG = "tokenizer_config.json"
WRITER_FIELDS = ("transformers_version", "_name_or_path")
"""Fields of a configuration that are not digested.

They say which version wrote the file and where it was, and no number depends on them.
"""

WHOLE_BYTES = 2**31
"""Largest size in bytes of a weight file that is digested whole, which takes about a second for a gigabyte."""
BLOCK_BYTES = 2**20
"""Number of bytes in a block of a larger weight file."""
BLOCK_DISTANCE = 2**26
"""Distance in bytes between the beginnings of two blocks of a larger weight file."""


def checkpoint_digests(directory: Path) -> dict[str, str]:
    """Digest each part that the directory has.

    In a weight file of up to 2 GiB every changed byte is noticed. Of a larger file the size, 1 MiB in 64 and the end
    are digested. That takes a second for a model of 16 GB, and notices any other training, merging or editing of whole
    matrices.

    Returns:
        The first 12 hexadecimal digits of a SHA-256 for each part, by the part's name.
    """
    parts: dict[str, list[tuple[str, str]]] = {}
    for part, name, digest in (*_weights(directory), *_small_files(directory)):
        parts.setdefault(part, []).append((name, digest))
    return {part: _short(json.dumps(sorted(files)).encode()) for part, files in sorted(parts.items())}


def _weights(directory: Path) -> Iterator[tuple[str, str, str]]:
    for path in directory.glob(WEIGHTS):
        if not path.is_file():
            continue
        state = path.stat()
        yield "weights", path.name, _weights_digest(path, state.st_size, state.st_mtime_ns)


@cache
def _weights_digest(path: Path, size: int, _modified: int) -> str:
    """Digest a weight file. The digest is kept until the file changes, because every experiment asks for it again."""
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for start in (*range(0, size, BLOCK_DISTANCE), size - BLOCK_BYTES):
            file.seek(start)
            digest.update(file.read(BLOCK_BYTES))
        return digest.hexdigest()


def _small_files(directory: Path) -> Iterator[tuple[str, str, str]]:
    for name, part in JSON_PARTS.items():
        if (path := directory / name).is_file():
            yield part, name, _json_digest(path)
    for name, path in tokenizer_files(directory).items():
        if name == TOKENIZER_CONFIG:
            yield from _tokenizer_config(path)
        elif is_template_file(name):
            yield "chat template", name, _short(path.read_bytes())
        elif brings_tokenizer([name]):
            yield "tokenizer", name, _short(path.read_bytes())


def _tokenizer_config(path: Path) -> Iterator[tuple[str, str, str]]:
    """Digest the tokenizer's settings, and apart from them the chat template, which older checkpoints keep there."""
    fields = _json_object(path)
    if fields is None:
        yield "tokenizer", path.name, _short(path.read_bytes())
        return
    template = fields.pop("chat_template", None)
    if template is not None:
        yield "chat template", path.name, _short(_canonical(template))
    yield "tokenizer", path.name, _short(_canonical(fields))


def _json_digest(path: Path) -> str:
    fields = _json_object(path)
    if fields is None:  # the file is damaged; opening the checkpoint says so
        return _short(path.read_bytes())
    return _short(_canonical({name: value for name, value in fields.items() if name not in WRITER_FIELDS}))


def _json_object(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json_object(path)
        json.dumps(content)
    except (ValueError, RecursionError):
        return None
    return content


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
