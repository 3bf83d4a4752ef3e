"""Which files of a directory make its tokenizer and chat template, and which ones are used with an adapter.

The tokenizer of a pair comes from one directory as a whole, because files from two directories would make a
third tokenizer. For example, an ``added_tokens.json`` of the base model would add tokens to an adapter's own
vocabulary.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

TEMPLATE_FILE = "chat_template.jinja"
PROCESSOR_TEMPLATE_FILE = "chat_template.json"
TEKKEN_FILE = "tekken.json"

TEMPLATE_PATTERNS = ("chat_template*", "additional_chat_templates/*")
PROCESSOR_PATTERNS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
SETTINGS_PATTERNS = (
    "tokenizer_config*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "normalizer.json",
)  # fmt: skip
"""Patterns of files that say something about a vocabulary in another file."""
VOCABULARY_PATTERNS = ("tokenizer*", "vocab.*", "*.model", "*.tiktoken", TEKKEN_FILE)
"""Patterns of files that may hold a vocabulary, unless they are settings."""
TOKENIZER_PATTERNS = (*VOCABULARY_PATTERNS, *SETTINGS_PATTERNS, *TEMPLATE_PATTERNS, *PROCESSOR_PATTERNS)


def tokenizer_files(directory: Path) -> dict[str, Path]:
    """Find the files that a directory's tokenizer, chat template and processor are made of, by their names."""
    found = {path for pattern in TOKENIZER_PATTERNS for path in directory.glob(pattern) if path.is_file()}
    return {path.relative_to(directory).as_posix(): path for path in sorted(found)}


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of that name, relative to its directory, is one of ``tokenizer_files``."""
    return _matches(name, TOKENIZER_PATTERNS)


def is_template_file(name: str) -> bool:
    """Whether a file of that name, relative to its directory, holds chat templates."""
    return _matches(name, TEMPLATE_PATTERNS)


def has_vocabulary(files: Iterable[str]) -> bool:
    """Whether one of the files may hold a vocabulary."""
    return any(
        _matches(name, VOCABULARY_PATTERNS) and not _matches(name, SETTINGS_PATTERNS) for name in files
    )


def brings_tokenizer(files: Iterable[str]) -> bool:
    """Whether one of the files belongs to a tokenizer itself, and not only to a chat template or a processor."""
    return any(_matches(name, (*VOCABULARY_PATTERNS, *SETTINGS_PATTERNS)) for name in files)


def files_that_speak(base: Path, adapter: Path) -> Mapping[str, Path]:
    """Choose the tokenizer files of a base model with an adapter: all of one directory.

    The adapter's files are used if it has a tokenizer, otherwise the base model's. An adapter with chat
    templates and no tokenizer replaces only the base model's chat templates.
    """
    own, of_base = tokenizer_files(adapter), tokenizer_files(base)
    if brings_tokenizer(own):
        return own
    replaced = TEMPLATE_PATTERNS if any(_matches(name, TEMPLATE_PATTERNS) for name in own) else ()
    return {name: path for name, path in of_base.items() if not _matches(name, replaced)} | own


def copy_tokenizer(files: Mapping[str, Path], output_dir: Path) -> None:
    """Copy tokenizer files into a directory, under their names."""
    for name, source in files.items():
        target = output_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def package_needed(files: Mapping[str, Path]) -> str | None:
    """Find the package that is needed to read the vocabulary and is not installed.

    Returns:
        The package's name for pip; None if nothing is missing.
    """
    # transformers reads tokenizer.json without any other package, so it decides before all other files.
    if "tokenizer.json" in files:
        return None
    if TEKKEN_FILE in files:
        return None if find_spec("mistral_common") else "mistral-common"
    models = [path for name, path in files.items() if _matches(name, ("*.model",))]
    if not models:
        return None
    module = "tiktoken" if all(_is_tiktoken(path) for path in models) else "sentencepiece"
    return None if find_spec(module) else module


def _is_tiktoken(path: Path) -> bool:
    """Whether a file has lines with a token in base 64 and its rank; no sentencepiece model begins so."""
    with path.open("rb") as file:
        return re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", file.read(1000)) is not None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
