"""Programs that say whether an answer is one to its request; nothing else judges answers in post-training."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection

Accepts = Callable[[str], bool]
"""Whether an answer is accepted."""

MIN_WORDS, MAX_WORDS = 4, 40
MIN_DIFFERENT_WORDS = 0.6
"""Share of the words of a text that must differ, because small models repeat themselves."""


def answer_key(answer: str) -> str:
    """An answer without case, article and punctuation at its ends: answers with one key count as the same."""
    words = answer.strip().strip(string.punctuation + " ").lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def one_of(members: Collection[str]) -> Accepts:
    """One of the members, in the singular or the plural."""
    keys = {_singular(answer_key(member)) for member in members}
    return lambda answer: "\n" not in answer.strip() and _singular(answer_key(answer)) in keys


def exactly(expected: str) -> Accepts:
    """The expected text itself, character by character."""
    return lambda answer: answer.strip() == expected


def number(expected: int) -> Accepts:
    """The number in digits, alone or at the end of an equation such as ``3 + 4 = 7``."""
    return lambda answer: re.fullmatch(rf"(?:[\d\s+*x-]+=\s*)?{expected}\.?", answer.strip()) is not None


def list_of(count: int) -> Accepts:
    """A given number of different things of at most four words, in one line with commas between them."""

    def accepts(answer: str) -> bool:
        items = [answer_key(item) for item in answer.strip().split(",")]
        is_short = all(1 <= len(item.split()) <= 4 for item in items)
        return "\n" not in answer.strip() and len(set(items)) == len(items) == count and is_short

    return accepts


def text_about(subject: str, sentences: range = range(1, 2), end: str = ".!?") -> Accepts:
    """Whole sentences which name the subject and do not repeat themselves.

    Args:
        subject: its last word must occur, in any form.
        sentences: the numbers of sentences that are accepted.
        end: characters, with one of which the text must end.
    """
    stem = _singular(subject.split()[-1].lower())[:5]

    def accepts(answer: str) -> bool:
        text = answer.strip().strip('"')
        words = re.findall(r"[a-z']+", text.lower())
        return (
            "\n" not in text
            and text.endswith(tuple(end))
            and MIN_WORDS <= len(words) <= MAX_WORDS
            and any(word.startswith(stem) for word in words)
            and len(set(words)) >= MIN_DIFFERENT_WORDS * len(words)
            and len(re.findall(r"[.!?]+(?:\s|$)", text)) in sentences
        )

    return accepts


def _singular(key: str) -> str:
    return key[:-1] if len(key) > 3 and key.endswith("s") and not key.endswith("ss") else key
