"""Which files of a directory make its tokenizer and chat template, and whose are used where there is an adapter.

The tokenizer of a pair comes from one directory as a whole. Files of two directories would make a third tokenizer:
an ``added_tokens.json`` of the base model, for example, would add tokens to an adapter's own vocabulary.
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
"""Files that say something about a vocabulary which is in another file."""
VOCABULARY_PATTERNS = ("tokenizer*", "vocab.*", "*.model", "*.tiktoken", TEKKEN_FILE)
"""Files that may hold a vocabulary, unless they are settings."""
TOKENIZER_PATTERNS = (*VOCABULARY_PATTERNS, *SETTINGS_PATTERNS, *TEMPLATE_PATTERNS, *PROCESSOR_PATTERNS)


def tokenizer_files(directory: Path) -> dict[str, Path]:
    """The files of a directory that its tokenizer, chat template and processor are made of, by their names in it."""
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
    """Whether one of the files is of a tokenizer itself, rather than a chat template or of a processor."""
    return any(_matches(name, (*VOCABULARY_PATTERNS, *SETTINGS_PATTERNS)) for name in files)


def files_that_speak(base: Path, adapter: Path) -> Mapping[str, Path]:
    """The tokenizer files of a base model with an adapter: all of the adapter's, or else all of the base model's.

    An adapter that has chat templates and no tokenizer replaces the base model's chat templates.
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
    """The package that is needed to read the vocabulary and is not installed, by its name for pip; else None."""
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
    """Whether a file is of lines with a token in base 64 and its rank, as no sentencepiece model is."""
    with path.open("rb") as file:
        return re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", file.read(1000)) is not None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
