"""Stories, poems and jokes from a grammar, and a recogniser for them.

A text has one line from each part of its genre, in order. A line is a pattern with slots. A request names the
genre and the subject, which must appear.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Genre = Literal["story", "poem", "joke"]
Chooser = Callable[[Sequence[str], random.Random], str]

SLOTS: dict[str, tuple[str, ...]] = {
    "subject": (
        "dog", "cat", "fox", "king", "queen", "horse", "bird", "bear", "baker", "child", "mouse", "wolf",
        "farmer", "owl", "ship", "star",
    ),
    "place": ("town", "forest", "sea", "hill", "river", "garden", "market", "castle", "field", "bridge"),
    "object": ("key", "stone", "book", "lamp", "coin", "rose", "map", "bell", "hat", "letter"),
    "mood": ("happy", "sad", "brave", "tired", "calm", "proud", "lonely", "curious"),
    "time": ("night", "morning", "winter", "summer", "evening", "autumn"),
}  # fmt: skip
GRAMMAR: dict[Genre, tuple[tuple[str, ...], ...]] = {
    "story": (
        (
            "Once there was a {mood} {subject} in the {place}.",
            "A {subject} lived by the {place}.",
            "One {time} a {subject} came to the {place}.",
            "Long ago a {mood} {subject} left the {place}.",
        ),
        (
            "It found a {object} there.",
            "It lost a {object} on the way.",
            "A stranger gave it a {object}.",
            "It dreamed of a {object} every {time}.",
        ),
        (
            "In the end it was {mood}.",
            "Then it went home to the {place}.",
            "Nobody saw it again after that {time}.",
            "So it stayed and was {mood}.",
        ),
    ),
    "poem": (
        (
            "O {subject}, so {mood} and free,",
            "The {subject} sings in the {time},",
            "I saw a {subject} by the {place},",
            "Come, {mood} {subject}, come with me,",
        ),
        (
            "you walk with me to the {place},",
            "the {object} shines in the {place},",
            "the {time} is {mood} and long,",
            "you carry a {object} for me,",
        ),
        (
            "and all the {time} is ours.",
            "and no one hears the {object}.",
            "and I am {mood} once more.",
            "and the {place} falls asleep.",
        ),
    ),
    "joke": (
        (
            "Why did the {subject} go to the {place}?",
            "Why was the {subject} so {mood}?",
            "What did the {subject} say to the {object}?",
            "Why does a {subject} carry a {object}?",
        ),
        (
            "Because it forgot the {object}!",
            "Because the {place} was {mood}!",
            "See you next {time}!",
            "It wanted to be {mood} too!",
        ),
    ),
}
REQUESTS = (
    "Write a {genre} about a {subject}.",
    "Tell me a {genre} with a {subject} in it.",
    "I would like a {genre} about a {subject}.",
    "Make up a {genre}. It must have a {subject}.",
    "Can you write a short {genre} about a {subject}?",
    "Please write a {genre} in which a {subject} appears.",
    "A {genre} about a {subject}, please.",
    "Give me a {genre} that has a {subject}.",
)
HELD_OUT_REQUESTS = (
    "Please tell me a short {genre} about a {subject}.",
    "Make a {genre} that is about a {subject}.",
)
"""Wordings that experiments use and training never does."""


@dataclass(frozen=True)
class WritingRequest:
    """A request, its genre, and the subject that must appear."""

    text: str
    genre: Genre
    subject: str


def compose_writing_request(rng: random.Random) -> WritingRequest:
    """Compose a request in one of the wordings of training."""
    genre: Genre = rng.choice(["story", "poem", "joke"])
    subject = rng.choice(SLOTS["subject"])
    return WritingRequest(rng.choice(REQUESTS).format(genre=genre, subject=subject), genre, subject)


def held_out_writing_requests(genre: Genre) -> list[WritingRequest]:
    """Make every request of a genre in the held-out wordings."""
    return [
        WritingRequest(wording.format(genre=genre, subject=subject), genre, subject)
        for wording in HELD_OUT_REQUESTS
        for subject in SLOTS["subject"]
    ]


def compose_text(request: WritingRequest, choose: Chooser, rng: random.Random) -> str:
    """Compose a text that answers the request.

    Args:
        request: the request.
        choose: chooses each line and what fills each slot.
        rng: generator that ``choose`` draws from.
    """

    def fill(match: re.Match[str]) -> str:
        return request.subject if match[1] == "subject" else choose(SLOTS[match[1]], rng)

    lines = [choose(part, rng) for part in GRAMMAR[request.genre]]
    return _separator(request.genre).join(re.sub(r"\{(\w+)\}", fill, line) for line in lines)


def accepts(genre: Genre, text: str) -> bool:
    """Whether the grammar of the genre accepts the text."""
    return _pattern(genre).fullmatch(text.strip()) is not None


def keeps_constraint(request: WritingRequest, text: str) -> bool:
    """Whether the requested subject appears as a word."""
    return re.search(rf"\b{request.subject}\b", text) is not None


@cache
def _pattern(genre: Genre) -> re.Pattern[str]:
    def line_pattern(line: str) -> str:
        pieces = re.split(r"\{(\w+)\}", line)
        return "".join(
            f"(?:{'|'.join(SLOTS[piece])})" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )

    parts = [f"(?:{'|'.join(map(line_pattern, part))})" for part in GRAMMAR[genre]]
    return re.compile(re.escape(_separator(genre)).join(parts))


def _separator(genre: Genre) -> str:
    return "\n" if genre == "poem" else " "
