"""The creative-writing prompts: 100 requests each for a poem, a story and a joke.

``creative_prompts.json`` holds them in our own wording. They serve to measure how varied many samples of one
prompt are. No subject occurs twice in a genre, and none occurs in the laptop models' training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, get_args

Genre = Literal["poem", "story", "joke"]
GENRES: tuple[Genre, ...] = get_args(Genre)


@dataclass(frozen=True, kw_only=True)
class CreativePrompt:
    """A request for a poem, a story or a joke.

    Attributes:
        id: unique name.
        genre: what is asked for.
        subject: what it is to be about.
        form: kind of poem, story or joke.
        constraint: condition that the text must meet; None if there is none.
        text: the whole request, as a user would type it.
    """

    id: str
    genre: Genre
    subject: str
    form: str
    constraint: str | None
    text: str

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ValueError: if the genre is unknown or a field is empty.
        """
        if self.genre not in GENRES:
            raise ValueError(
                f"prompt {self.id!r} has the genre {self.genre!r}; use one of {', '.join(GENRES)}"
            )
        for name in ("id", "subject", "form", "text"):
            if not getattr(self, name).strip():
                raise ValueError(f"prompt {self.id!r} has an empty {name}; fill it in")
        if self.constraint is not None and not self.constraint.strip():
            raise ValueError(f"prompt {self.id!r} has an empty constraint; write null where there is none")


def require_unique_ids(prompts: Sequence[CreativePrompt]) -> None:
    """Check that no two prompts have one id.

    Raises:
        ValueError: if two have; names the id.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise ValueError(f"prompt {prompt.id!r} occurs twice; give each prompt its own id")
        seen.add(prompt.id)


@cache
def _all_prompts() -> tuple[CreativePrompt, ...]:
    rows = json.loads(
        resources.files("slr.tasks").joinpath("creative_prompts.json").read_text(encoding="utf-8")
    )
    prompts = tuple(CreativePrompt(**row) for row in rows)
    require_unique_ids(prompts)
    return prompts


def load_creative_prompts(genre: Genre | None = None) -> tuple[CreativePrompt, ...]:
    """Load the 100 prompts of one genre, or all 300, in a fixed order.

    Raises:
        ValueError: if ``genre`` is not one of ``GENRES``, or a prompt in the data is bad.
    """
    if genre is not None and genre not in GENRES:
        raise ValueError(f"genre is {genre!r}; use one of {', '.join(GENRES)}, or None for all")
    return tuple(prompt for prompt in _all_prompts() if genre is None or prompt.genre == genre)
