"""CRC prompts of the user's own, from a file of JSON lines such as ``{"text": "Name a vowel.", "valid": "aeiou"}``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from slr.crc.prompts import CrcPrompt
from slr.vocabulary import PromptSet

LEAST_PROMPTS = 2
"""Smallest number of prompts of a set. One prompt shows no spread, so it gives no interval."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, Field(pattern=r"\S")]
    valid: Annotated[str, Field(min_length=2)]
    split: PromptSet | None = None

    @field_validator("valid")
    @classmethod
    def _different(cls, valid: str) -> str:
        if len(set(valid)) < len(valid) or any(character.isspace() for character in valid):
            raise ValueError("expected two or more different characters, none of them a blank")
        return valid


def read_prompts(path: Path) -> tuple[CrcPrompt, ...]:
    """Read prompts from a file with a JSON object in each line.

    ``text`` is the request, and ``valid`` has every character that answers it. ``split`` is ``selection`` or
    ``held_out``. Lines without a split take turns: the first one selects, the next one is held out.

    Args:
        path: the file.

    Raises:
        ValueError: if it cannot be read, a line is no prompt, or a split has too few prompts.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ValueError(f"--prompts is {path}, which cannot be read: {reason}") from None
    prompts: list[CrcPrompt] = []
    splits: tuple[PromptSet, PromptSet] = ("selection", "held_out")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            given = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise ValueError(
                f'{path}, line {number}: {where}: {first["msg"]}; expected such as {{"text": "Name a vowel.", '
                '"valid": "aeiou"}'
            ) from None
        # The number of the line is the id, so that a message or a record leads back to it.
        prompts.append(
            CrcPrompt(
                id=f"own-{number}",
                split=given.split or splits[len(prompts) % 2],
                category="digits" if given.valid.isdigit() else "letters",
                text=given.text,
                valid=given.valid,
            )
        )
    for split in splits:
        count = sum(prompt.split == split for prompt in prompts)
        if count < LEAST_PROMPTS:
            raise ValueError(
                f"{path} has {count} prompts with the split {split}, expected at least {LEAST_PROMPTS}"
            )
    return tuple(prompts)
