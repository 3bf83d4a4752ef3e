"""Open questions with many right answers, and the rules that decide which answer a sample gives.

``open_qa_questions.json`` holds 40 questions with 20 to 200 right answers each, and where each list can be
checked. ``OpenQuestion.recognise`` decides by these rules, in this order:

1. The answer is the first line with text in it. A line that only introduces one (it ends with a colon, or is
   nothing but a phrase such as "Sure!") is passed over.
2. Markdown (``*``, ``_``, ``#``, backticks), quotes and a list marker ("1.", "-") are stripped off the line.
3. Two names are the same if they are so after ``normalise``: case, accents, punctuation, whitespace and
   articles (the, a, an) do not count, nor do the dots and spaces of initials; "&" is "and", "St." is "saint".
4. The whole line is an alias; or else what is left without its leading phrase ("Sure!", "The answer is",
   "One country is"); or else what comes before a separator (a spaced dash, colon, semicolon, comma, bracket,
   "is" or end of a sentence), the longest such part first. A part that is followed by another right answer,
   as in a list, is refused.
5. Or else the line has at most 12 words, and exactly one answer is named in it by whole words. Where one alias
   contains another the longest counts ("Guinea-Bissau", not "Guinea"). An alias of one or two characters
   ("Go", "US") does not count here, nor one behind a word that makes another name of it ("New Mexico").

Anything else is no right answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from itertools import chain

MIN_ANSWERS = 20
MAX_ANSWERS = 200
MAX_WORDS_AROUND_NAME = 12
MIN_CHARACTERS_INSIDE_LINE = 3

_ARTICLES = frozenset({"the", "a", "an"})
_QUALIFIERS = frozenset(
    {"new", "north", "northern", "south", "southern", "east", "eastern", "west", "western"}
    | {"american", "british", "equatorial"}
)
_LETTERS_WITHOUT_ACCENT = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_NAMED_SIGNS = str.maketrans({"&": " and ", "+": " plus ", "#": " sharp "})
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.\s?)+[^\W\d_]\b\.?")
_APOSTROPHES = re.compile(r"['’‘ʻʼ´`]")
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")

_LIST_MARKER = re.compile(r"^\s*(?:#+\s+|>\s*|[-–—•*+]\s+|\(?\d{1,2}[.)]\s+)+")
_MARKDOWN_AND_QUOTES = re.compile(r"[*_`\"“”„«»]+|^#+|^['‘]|['’]$")
_LEADING_PHRASE = re.compile(
    r"^(?:"
    r"(?:sure|certainly|of course|okay|ok|yes|absolutely|great|alright)(?: thing)?\b[\s!,.:]*"
    r"|(?:(?:the|my|final|one|an?|possible|correct|right)\s+)*answer(?:\s+is\b|\s*:|\s+would be\b)[\s:]*"
    r"|(?:one|an?|another|the|my)\s+(?:[\w'’-]+\s+){0,8}?(?:is|was|would be)\b[\s:]*"
    r"|(?:it|that|this)(?:\s+is|['’]s|\s+would be)\b[\s:]*"
    r"|here(?:\s+is|['’]s)\s+(?:one|an?)\b(?:[^:]*:)?\s*"
    r"|i(?:\s+will|\s+would|['’]ll|['’]d)?\s+(?:choose|pick|say|name|go with)\b[\s:]*"
    r")",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s+[-–]+\s+|\s*—\s*|\s*[:;,(\[]\s*|(?<=\w{3})[.!?](?:\s+|$)|\s+(?:is|was)\s+")


def normalise(name: str) -> str:
    """The form in which two names are compared (rule 3 of the module); may be empty."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = plain.translate(_LETTERS_WITHOUT_ACCENT).translate(_NAMED_SIGNS)
    plain = _INITIALS.sub(lambda match: re.sub(r"[.\s]", "", match[0]) + " ", _APOSTROPHES.sub("", plain))
    words = _NEITHER_LETTER_NOR_DIGIT.sub(" ", plain).split()
    return " ".join("saint" if word == "st" else word for word in words if word not in _ARTICLES)


def _answer_line(text: str) -> str:
    """The line of a sample that gives its answer, without markdown (rules 1 and 2); empty if there is none."""
    for line in text.splitlines():
        stripped = _MARKDOWN_AND_QUOTES.sub("", _LIST_MARKER.sub("", line)).strip()
        if stripped.endswith(":") or not normalise(_without_leading_phrase(stripped)):
            continue
        return stripped
    return ""


def _without_leading_phrase(line: str) -> str:
    while (shorter := _LEADING_PHRASE.sub("", line, count=1)) != line:
        line = shorter
    return line


@dataclass(frozen=True)
class OpenQuestion:
    """A question that asks for one of many right answers.

    Each of ``answers`` holds the ways to write one right answer, its canonical name first.
    ``source`` says where the list can be checked.
    """

    id: str
    text: str
    source: str
    answers: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not MIN_ANSWERS <= self.num_right <= MAX_ANSWERS:
            raise ValueError(
                f"question {self.id!r} has {self.num_right} answers, "
                f"expected {MIN_ANSWERS} to {MAX_ANSWERS}: extend its list or leave it out"
            )
        owners: dict[str, int] = {}
        for index, aliases in enumerate(self.answers):
            if not aliases:
                raise ValueError(f"question {self.id!r}: answer {index} has no name, expected at least one")
            for alias in aliases:
                form = normalise(alias)
                if not form:
                    raise ValueError(f"question {self.id!r}: alias {alias!r} is empty once normalised")
                if owners.setdefault(form, index) != index:
                    raise ValueError(
                        f"question {self.id!r}: alias {alias!r} names both {self.answers[owners[form]][0]!r} "
                        f"and {aliases[0]!r}, expected one answer only"
                    )

    @property
    def num_right(self) -> int:
        """How many different right answers there are."""
        return len(self.answers)

    @cached_property
    def _canonical(self) -> dict[str, str]:
        """The canonical name by each normalised alias."""
        return {normalise(alias): aliases[0] for aliases in self.answers for alias in aliases}

    @cached_property
    def _max_alias_words(self) -> int:
        return max(len(alias.split()) for alias in self._canonical)

    def recognise(self, text: str) -> str | None:
        """The canonical name of the right answer that a sample gives, or None (rules of the module)."""
        line = _answer_line(text)
        wholes = (line, _without_leading_phrase(line))
        for whole in wholes:
            if (canonical := self._canonical.get(normalise(whole))) is not None:
                return canonical
        for before, after in chain.from_iterable(map(_splits_at_separators, wholes)):
            if (canonical := self._canonical.get(normalise(before))) is not None:
                listed = self._canonical.get(normalise(_SEPARATOR.split(after, maxsplit=1)[0]))
                return canonical if listed in (None, canonical) else None
        return self._only_name_in(normalise(line).split())

    def _only_name_in(self, words: list[str]) -> str | None:
        """The one answer that a short line names (rule 5)."""
        if len(words) > MAX_WORDS_AROUND_NAME:
            return None
        named: set[str] = set()
        taken: set[int] = set()
        for length in range(min(self._max_alias_words, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                alias = " ".join(words[start : start + length])
                span = set(range(start, start + length))
                if alias not in self._canonical or len(alias) < MIN_CHARACTERS_INSIDE_LINE or span & taken:
                    continue
                taken |= span
                if start == 0 or words[start - 1] not in _QUALIFIERS:
                    named.add(self._canonical[alias])
        return named.pop() if len(named) == 1 else None


def _splits_at_separators(line: str) -> Iterator[tuple[str, str]]:
    """The line cut in two at each of its separators, the longest first part first."""
    for separator in reversed(list(_SEPARATOR.finditer(line))):
        yield line[: separator.start()], line[separator.end() :]


def parse_open_questions(rows: list[dict]) -> tuple[OpenQuestion, ...]:
    """Questions out of the rows of the JSON file; ValueError if a rule for the lists is broken."""
    questions = tuple(
        OpenQuestion(
            id=row["id"],
            text=row["text"],
            source=row["source"],
            answers=tuple(tuple(aliases) for aliases in row["answers"]),
        )
        for row in rows
    )
    ids = [question.id for question in questions]
    repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1})
    if repeated:
        raise ValueError(f"question ids must differ, given more than once: {', '.join(repeated)}")
    return questions


@cache
def load_open_questions() -> tuple[OpenQuestion, ...]:
    """The 40 questions in a fixed order, checked as they are read."""
    file = resources.files("slr.tasks").joinpath("open_qa_questions.json")
    return parse_open_questions(json.loads(file.read_text(encoding="utf-8")))
