"""The CRC prompts, each of which asks for one random character out of a stated set.

``prompts.json`` holds 80 of them in our own wording: 40 to select an interval by, and 40 held out to report
it on. Half of each set asks for letters, half for digits. No valid set occurs twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from slr.chat.few_shot import FewShotDocument
from slr.vocabulary import PromptSet

FEW_SHOT = FewShotDocument(
    (
        ("Pick one capital letter at random from D, K, R and V. Answer with the letter only.", "R"),
        ("Take a random digit between 2 and 6, both included. Say just the digit.", "3"),
        ("Take one lowercase letter at random from e, h, o, t and y. Only the letter, no other text.", "o"),
        ("Draw a random digit from 0, 5, 8 and 9. Give the digit alone.", "8"),
    )
)
"""Document in which the base model is asked as it is. No example is one of the prompts."""
PROMPT_SETS: tuple[PromptSet, ...] = ("selection", "held_out")


@dataclass(frozen=True, kw_only=True)
class CrcPrompt:
    """A request for one random character.

    Attributes:
        id: unique name of the prompt.
        split: whether intervals are selected by the prompt or reported on it.
        category: whether it asks for letters or digits.
        text: the request.
        valid: every character that answers it; each counts as one possible answer.
    """

    id: str
    split: PromptSet
    category: Literal["letters", "digits"]
    text: str
    valid: str


@cache
def _all_prompts() -> tuple[CrcPrompt, ...]:
    rows = json.loads(resources.files("slr.crc").joinpath("prompts.json").read_text(encoding="utf-8"))
    return tuple(CrcPrompt(**row) for row in rows)


def load_prompts(split: PromptSet) -> tuple[CrcPrompt, ...]:
    """Load the 40 prompts of one split, in a fixed order."""
    return tuple(prompt for prompt in _all_prompts() if prompt.split == split)
