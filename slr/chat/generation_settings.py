"""Generation settings of a checkpoint: read from its files, and written with the tokens that end an answer."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import GenerationConfig, PreTrainedConfig

from slr.chat.end_tokens import EndTokens, configured_ends
from slr.files.untrusted import read_json_object

GENERATION_FILE = "generation_config.json"


def read_generation_config(directory: Path, config: PreTrainedConfig, name: str) -> GenerationConfig:
    """Read the generation settings of a checkpoint: from its file, or else from its model's configuration.

    Args:
        directory: directory of the checkpoint.
        config: configuration of its model; older checkpoints keep the end token there.
        name: name of the checkpoint, for errors.

    Raises:
        ValueError: if the file cannot be read.
    """
    try:
        if not (directory / GENERATION_FILE).exists():
            return GenerationConfig.from_model_config(config)
        _check_json(directory / GENERATION_FILE)
        settings = GenerationConfig.from_pretrained(directory, local_files_only=True)
        valid = all(type(end) is int for end in configured_ends(settings))
    # Settings validate themselves, with errors of many types.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{GENERATION_FILE} of {name} is not valid: {reason}") from error
    if not valid:
        raise ValueError(
            f"eos_token_id in {GENERATION_FILE} of {name} is {settings.eos_token_id!r}: expected a token id or a "
            "list of them"
        )
    return settings


def _check_json(path: Path) -> None:
    """Check that a file holds a JSON object within limits of size, because transformers has no such limits.

    Raises:
        ValueError: if it does not.
    """
    try:
        read_json_object(path)
    except ValueError as error:
        raise ValueError(f"it {error}") from error


def write_end_tokens(source: GenerationConfig, ends: EndTokens, output_dir: Path) -> list[int]:
    """Make the generation settings in a directory end answers at all end tokens; write them if there are none.

    Args:
        source: settings of the checkpoint that is written.
        ends: the tokens at which its answers end.
        output_dir: directory of the checkpoint, with its own settings file if it has one.

    Returns:
        The ids that were added. If there are none, nothing was written.
    """
    configured = configured_ends(source)
    if not (added := [token_id for token_id in ends.ids if token_id not in configured]):
        return []
    path = output_dir / GENERATION_FILE
    # The file is changed rather than written anew, so that settings which transformers does not know stay in it.
    settings = read_json_object(path) if path.exists() else json.loads(source.to_json_string())
    settings["eos_token_id"] = [*configured, *added]
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return added
