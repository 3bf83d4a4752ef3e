"""Open questions with many right answers, and the rules that decide which answer a sample gives.

``open_qa_questions.json`` holds 40 questions with 20 to 200 right answers each; docs/questions.md has their
sources. ``OpenQuestion.recognise`` decides by these rules:

1. The answer is on the first line with text in it. A line that only introduces an answer is skipped: it ends
   with a colon, or it is only a phrase such as "Sure!" or "As an AI, I have no preferences."
2. Markdown (``*``, ``_``, ``#``, backticks), quotes and a list marker ("1.", "-") are removed from the line.
3. A name may be spelled in every way that ``names.normalise`` and ``names.spellings`` know. Case, accents,
   plurals, ordinals, possessives and initials do not matter. "Bach, Johann Sebastian" is "Johann Sebastian
   Bach".
4. Names are searched in the whole line, then in what follows its leading phrase ("The answer is", "One
   country is"), then in what follows a preface ("I have no favourite, but one is"). In each of these, the
   whole text is tried first. Then the part before each separator is tried (punctuation, or a word such as
   "is" or "which"), the longest part first.
5. A part names an answer only if its other words add nothing. Words that add nothing are function words ("it
   is ... of course") and the question's ``qualifiers`` ("river" next to "Rhine"). So "Harrison Ford" is not
   "Gerald Ford". The longest name counts ("Guinea-Bissau", not "Guinea"). A name of one or two characters
   ("C", "US") allows only qualifiers next to it.
6. A ``distractor`` names something else, although the rules would find an answer in it ("Washington, D.C.").
7. A part is refused if it names two answers. It is also refused if the words behind it take it back: another
   answer, "is not", another given name ("Clinton, Hillary"), a suffix ("Kennedy, Jr."), a place ("Augusta,
   Georgia") or year ("Aladdin (2019)") that the aliases do not have, a subtitle ("Mulan: Final War"), or one
   of the question's ``other_kinds`` ("Mercury, the planet").

Everything else is not a right answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from slr.tasks.names import NameForm, initialled, normalise, readings, spellings

MIN_ANSWERS = 20
"""Smallest number of right answers of a question."""
MAX_ANSWERS = 200
"""Largest number of right answers of a question."""
MIN_CHARACTERS_INSIDE_LINE = 3
"""Number of characters from which on a name may have function words next to it (rule 5)."""
MAX_WORDS_WITH_EXAMPLE = 12
"""Largest number of words of a line in which an answer may follow "such as"."""
MAX_WORDS_OF_LINE = 40
"""Number of words of a line that are read. An answer that comes later was not asked for."""

_ANOTHER_THING = ""
"""Verdict on a part that names something other than one right answer; None is the verdict if it names nothing known."""
_SEVERAL_ANSWERS = "several answers"
"""Verdict on a part that names two answers. A shorter part of it may still give one of them."""

_FUNCTION_WORDS = frozenset(
    {"of", "in", "is", "its", "it", "one", "this", "that", "thats", "my"}
    | {"our", "for", "as", "to", "and", "or", "be", "would", "called", "named"}
    | {"known", "also", "aka", "formerly", "answer", "name", "example", "today", "now", "just"}
    | {"simply", "perhaps", "maybe", "probably", "please", "here", "course", "possible", "boxed", "text"}
)
_DIRECTIONS = frozenset(
    {"new", "north", "northern", "south", "southern", "east", "eastern", "west", "western", "central"}
    | {"upper", "lower", "equatorial"}
)
_NATIONALITIES = frozenset({"american", "british", "french", "dutch"})
_SUFFIXES = frozenset({"jr", "sr", "junior", "senior", "ii", "iii", "iv"})

_LIST_MARKER = re.compile(r"^\s*(?:#+\s+|>\s*|[-–—•*+]\s+|\(?\d{1,2}[.)]\s+)+")
_MARKDOWN_AND_QUOTES = re.compile(r"</?\w+>|[*_`\"“”„«»]+|^#+|^['‘]|['’]$")

# A negation ends an announcement, because "The capital is not" announces nothing.
_WORD = r"(?!(?:not|never|no|cannot|except|avoid)\b)(?![\w]+n['’]t\b)(?:(?:[A-Za-z]\.){2,}|[\w'’-]+)"
_SAYING = (
    r"(?:choose|pick|say|name|go with|going with|suggest|mention|select|offer|nominate|propose|answer with|answer|"
    r"think of|consider|tell you(?: that)?|give you|give|like|know of|know|recommend|prefer|share)"
)
# Base models write the labels of a chat ("Assistant:") before answers, so labels count as greetings.
_GREETING = (
    r"(?:(?:sure|certainly|of course|okay|ok|yes|absolutely|alright|well|h+m+|so)(?: thing)?\b[\s!,.:…-]*"
    r"|(?:great|good|interesting|hello|hi|thanks|thank you|excellent)(?: question| choice)?\s*[!,.:…]+\s*"
    r"|(?:however|nevertheless|nonetheless|still|anyway|even so|that said|that being said|in any case)\s*,\s*"
    r"|(?:assistant|ai|a|response|output|choice)\s*:\s*)"
)
_BE = r"(?:is|was|are|would be|could be|might be|must be|has to be)\b"
_ANNOUNCEMENT = (
    rf"(?:(?:(?:the|my|final|one|an?|possible|correct|right|short)\s+)*answer(?:\s+{_BE}|\s*[:=])[\s:]*"
    rf"|(?:one|an?|another|the|my)\s+(?:{_WORD}\s+){{0,14}}?{_BE}[\s:]*"
    rf"|(?:it|that|this)(?:\s+{_BE}|['’]s)[\s:]*"
    r"|here(?:\s+is|['’]s)\s+(?:one|an?|the|my)\b(?:[^:]*:)?\s*"
    rf"|(?:i|we|you)(?:['’](?:ll|d|m|ve))?\s+(?:{_WORD}\s+){{0,6}}?{_SAYING}\b[\s:,]*"
    r"|i\s+(?:think|believe|guess|suppose)(?:\s+that)?\b[\s,:]*"
    rf"|if\s+(?:i|we)\s+(?:{_WORD}\s+){{1,10}}?(?=(?:i|we)(?:\s|['’]))"
    rf"|let(?:['’]?s| me| us)\s+{_SAYING}\b[\s:]*"
    r"|(?:how about|what about|maybe|perhaps|possibly|probably|for example|for instance|e\.g\.|namely)[\s,:]+"
    rf"|to\s+{_SAYING}\b[\s:]*"
    r"|there(?:\s+is|['’]s)\s+(?:also\s+)?)"
)
_LEADING_PHRASE = re.compile(rf"^(?:{_GREETING}|{_ANNOUNCEMENT})", re.IGNORECASE)
_STARTS_WITH_ANNOUNCEMENT = re.compile(rf"^{_ANNOUNCEMENT}", re.IGNORECASE)
_POLITE_LINE = re.compile(
    rf"^(?:{_GREETING})*(?:as an? (?:ai|assistant|language model|large)\b"
    r"|i(?:['’](?:d|m|ll)| can| am| would| will| do| don['’]t)\b|happy to|glad to|let me|let['’]s|here\b"
    r"|that['’]s an?\b)",
    re.IGNORECASE,
)

# A full stop separates only behind three letters, so that "St." and initials stay with their names.
_SEPARATOR = re.compile(
    r"\s+[-–]+\s+|\s*—\s*|\s*[:;,(\[]\s*|(?<=\w{3})[.!?](?:\s+|$)"
    r"|\s+(?:is|was|are|were|has|have|would be|could be|comes|lies|in|from|by|because|since|as|which|who|that|with"
    r"|where|whose|at|on|for|won|wrote|composed|became|served|flows|can)\s+"
)
_PREFACE_END = re.compile(
    r"(?P<strong>(?:(?<=\w{3})|(?<=[A-Z]{2}))[.!?…]+\s+|:\s+|;\s+|\s+[-–]+\s+|\s*—\s*)"
    r"|(?P<but>,?\s+(?:but|so|however|yet),?\s+)"
    r"|(?P<example>,?\s+(?:such as|like|including)\s+)"
    r"|(?P<comma>,\s+(?:and\s+)?|\s+(?:and|that)\s+)"
)
_FILLERS = re.compile(
    r"^(?:(?:and|or|then|also|no|wait|actually|maybe|rather|perhaps|i mean)\b[\s,]*)+", re.IGNORECASE
)
_NEGATION = re.compile(r"\b(?:not|never|no|nothing|except|avoid|wrong|cannot)\b|n['’]t\b", re.IGNORECASE)
# "Anything but Peru" names what the answer is not, so this "but" begins no answer.
_EXCLUSION = re.compile(
    r"\b(?:anything|nothing|everything|any|all|none|every|each|everyone)(?:\s+\w+)?$", re.IGNORECASE
)
_INVERTED = re.compile(r"([^,(]+?)\s*[,(]\s*([^,()]+)\)?\.?")
_CAPITALISED = re.compile(r"[^\W\d_a-z][\w'’.-]*(?:\s+(?:(?:of|the|and|de|in)\s+)*[^\W\d_a-z][\w'’.-]*)*")
_GIVEN_NAMES = re.compile(r"(?:[^\W\d_a-z][\w'’-]*\.?\s*){1,3}")
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")
_INITIALS_ONLY = re.compile(r"(?:[^\W\d_a-z]\.?\s*){1,3}")


@dataclass(frozen=True, kw_only=True)
class OpenQuestion:
    """A question that asks for one of many right answers.

    Attributes:
        id: short name.
        text: the request.
        source: reference work in which the list can be checked.
        is_closed: whether the list holds every right answer; otherwise it holds the well-known ones.
        as_of: date that the list is right for, such as "2024-12-31"; None if the answers do not change.
        answers: the ways to write each right answer, its canonical name first.
        distractors: names of other things in which the rules would find an answer.
        qualifiers: words and phrases that may stand next to a name without changing it.
        forms: rules of spelling that hold for the names.
        other_kinds: words behind a name that make it another thing, such as "planet" behind "Mercury".
    """

    id: str
    text: str
    source: str
    answers: tuple[tuple[str, ...], ...]
    is_closed: bool = True
    as_of: str | None = None
    distractors: tuple[str, ...] = ()
    qualifiers: tuple[str, ...] = ()
    forms: frozenset[NameForm] = frozenset()
    other_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the lists.

        Raises:
            ValueError: if the number of answers is out of range, or an answer has no name, or a name is
                empty.
        """
        if not MIN_ANSWERS <= self.num_right <= MAX_ANSWERS:
            raise ValueError(
                f"question {self.id!r} has {self.num_right} answers, "
                f"expected {MIN_ANSWERS} to {MAX_ANSWERS}: extend its list or leave it out"
            )
        for index, aliases in enumerate(self.answers):
            if not aliases:
                raise ValueError(f"question {self.id!r}: answer {index} has no name, expected at least one")
        for name in (*(alias for aliases in self.answers for alias in aliases), *self.distractors):
            if not normalise(name):
                raise ValueError(f"question {self.id!r}: alias {name!r} is empty once normalised")
        # Building the table raises if an alias names two answers.
        _ = self._named

    @property
    def num_right(self) -> int:
        """Number of different right answers."""
        return len(self.answers)

    @cached_property
    def _named(self) -> dict[str, str]:
        """Map each normal form to an answer's canonical name, or to ``_ANOTHER_THING``.

        Raises:
            ValueError: if an alias names two of them.
        """
        named: dict[str, str] = {}
        groups = [(aliases[0], aliases) for aliases in self.answers]
        for canonical, aliases in [*groups, (_ANOTHER_THING, self.distractors)]:
            for alias in aliases:
                for form in spellings(alias, self.forms):
                    if named.setdefault(form, canonical) != canonical:
                        raise ValueError(
                            f"question {self.id!r}: alias {alias!r} names both {named[form]!r} and {canonical!r} "
                            f"(as {form!r}), expected one answer only"
                        )
        return self._with_initials() | named if "person" in self.forms else named

    def _with_initials(self) -> dict[str, str]:
        """Map names with initials to answers, except the ones that two answers share: "J. Bernoulli" names nobody."""
        owners: dict[str, set[str]] = {}
        for aliases in self.answers:
            for alias in aliases:
                for form in initialled(alias):
                    owners.setdefault(form, set()).add(aliases[0])
        return {form: names.pop() for form, names in owners.items() if len(names) == 1}

    @cached_property
    def _max_words_of_name(self) -> int:
        return max(len(form.split()) for form in self._named)

    @cached_property
    def _phrases(self) -> frozenset[tuple[str, ...]]:
        """The qualifiers, split into words."""
        return frozenset(tuple(normalise(phrase).split()) for phrase in self.qualifiers)

    @cached_property
    def _places(self) -> frozenset[str]:
        """Places that the aliases give for answers, such as "georgia" in "Atlanta, Georgia"."""
        if "person" in self.forms:
            return frozenset()
        parts = (alias.split(", ") for aliases in self.answers for alias in aliases if alias.count(", ") == 1)
        return frozenset(normalise(place) for _, place in parts)

    def recognise(self, text: str) -> str | None:
        """Find the right answer that a sample gives, by the rules of the module.

        Args:
            text: the sample.

        Returns:
            The answer's canonical name; None if the sample gives no right answer.
        """
        for line in _lines(text):
            verdict = self._read_line(line)
            # Only a polite line may be followed by the answer. Any other line without an answer ends the search,
            # because a later line would explain or list.
            if verdict is not None or not _POLITE_LINE.match(line):
                return verdict or None
        return None

    def _read_line(self, line: str) -> str | None:
        body = _without_leading_phrase(line)
        for part in dict.fromkeys((line, body, *self._after_prefaces(body))):
            if (verdict := self._read(part)) is not None:
                return verdict
        return None

    def _read(self, part: str) -> str | None:
        """Find the answer that a part of a line gives at its start (rules 4 to 7)."""
        whole = self._name_in(part)
        if whole not in (None, _SEVERAL_ANSWERS):
            return whole
        if inverted := _INVERTED.fullmatch(part):
            verdict = self._named.get(normalise(f"{inverted[2]} {inverted[1]}"))
            if verdict is not None:
                return verdict
        # The last separator comes first, so that the longest part before a separator is tried first.
        for separator in reversed(list(_SEPARATOR.finditer(part))):
            before, after = part[: separator.start()], part[separator.end() :]
            verdict = self._name_in(before)
            if verdict not in (None, _SEVERAL_ANSWERS):
                taken_back = not verdict or self._is_taken_back(verdict, before, separator[0].strip(), after)
                return _ANOTHER_THING if taken_back else verdict
        return None if whole is None else _ANOTHER_THING

    def _name_in(self, part: str) -> str | None:
        """Find what a part names if its other words add nothing (rule 5)."""
        forms = readings(part)
        exact = next((self._named[form] for form in forms if form in self._named), None)
        if exact is not None:
            return exact
        return next((name for form in forms if (name := self._name_among(form.split())) is not None), None)

    def _name_among(self, words: list[str]) -> str | None:
        spans = self._spans_of_names(words)
        if not spans:
            return None
        # The words between the names, as pairs of ends: before the first name, between names, behind the last.
        edges = [0, *(edge for span in sorted(spans) for edge in span), len(words)]
        around = [words[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
        if not all(self._adds_nothing(run, _FUNCTION_WORDS) for run in around):
            return None
        names = {self._named[" ".join(words[start:end])] for start, end in spans}
        shortest = min(len(" ".join(words[start:end])) for start, end in spans)
        # Short names such as "C" and "US" are also ordinary words, so only qualifiers may stand next to them.
        if shortest < MIN_CHARACTERS_INSIDE_LINE and not all(self._adds_nothing(run) for run in around):
            return None
        if _ANOTHER_THING in names:
            return _ANOTHER_THING
        return names.pop() if len(names) == 1 else _SEVERAL_ANSWERS

    def _spans_of_names(self, words: list[str]) -> list[tuple[int, int]]:
        """Find where names stand: the longest first, none inside another, and short names only if there is no other."""
        for min_characters in (MIN_CHARACTERS_INSIDE_LINE, 1):
            spans: list[tuple[int, int]] = []
            for length in range(min(self._max_words_of_name, len(words)), 0, -1):
                for start in range(len(words) - length + 1):
                    end = start + length
                    name = " ".join(words[start:end])
                    free = all(end <= first or start >= last for first, last in spans)
                    if free and len(name) >= min_characters and name in self._named:
                        spans.append((start, end))
            if spans:
                return spans
        return []

    def _adds_nothing(self, words: list[str], function_words: frozenset[str] = frozenset()) -> bool:
        """Whether the words are only qualifiers of the question and function words."""
        # Phrases may overlap, so all the places are followed that some sequence of phrases can reach.
        reached = {0}
        for start in range(len(words)):
            if start not in reached:
                continue
            if words[start] in function_words or (
                "person" in self.forms and _ORDINAL.fullmatch(words[start])
            ):
                reached.add(start + 1)
            phrases = (
                phrase for phrase in self._phrases if tuple(words[start : start + len(phrase)]) == phrase
            )
            reached |= {start + len(phrase) for phrase in phrases}
        return len(words) in reached

    def _is_taken_back(self, verdict: str, before: str, separator: str, after: str) -> bool:
        """Whether the words behind a name make it another thing (rule 7).

        Args:
            verdict: canonical name of the answer found.
            before: the part that names it.
            separator: the separator behind the part.
            after: the rest of the line.
        """
        if separator in ("is", "was", "are", "were") and _NEGATION.match(after):
            return True
        segments = (_FILLERS.sub("", segment).strip(" .)]") for segment in _SEPARATOR.split(after))
        following = next((segment for segment in segments if segment), "")
        form = normalise(following)
        both = normalise(f"{before}, {following}")
        # The words behind a name can be a part of it that an alias has: "Portland, Oregon".
        if self._named.get(both) == verdict or not form:
            return False
        # In brackets or behind a word, lower-case words describe the
        # answer. They may mention another one: "Lyon (near Geneva)".
        is_description = (separator in ("(", "[") or separator.isalpha()) and following[0].islower()
        if not is_description and self._name_in(following) not in (None, verdict):
            return True
        if separator in (",", "(", "[") and self._is_elsewhere(before, form):
            return True
        return (
            form.split()[0] in _SUFFIXES
            or self._is_other_kind(form)
            or self._has_other_year(verdict, form)
            or self._is_other_person(before, separator, following)
            or ("title" in self.forms and separator == ":" and self._is_subtitle(following))
        )

    def _is_elsewhere(self, before: str, following: str) -> bool:
        """Whether a place or direction follows that the aliases do not have: "Augusta, Georgia", "Samoa, American"."""
        if following in self._places:
            return "," not in before
        return following in _DIRECTIONS or ("person" not in self.forms and following in _NATIONALITIES)

    def _is_subtitle(self, following: str) -> bool:
        """Whether the words are capitalised like the title of a sequel, and say more than "Walt Disney"."""
        is_title = all(word[0].isupper() or len(word) <= len("the") for word in following.split())
        return following[0].isupper() and is_title and not self._adds_nothing(normalise(following).split())

    def _is_other_kind(self, following: str) -> bool:
        kinds = map(normalise, self.other_kinds)
        return any(following == kind or (" " in kind and following.startswith(f"{kind} ")) for kind in kinds)

    def _has_other_year(self, verdict: str, following: str) -> bool:
        """Whether a year follows, the aliases of the answer give years, and this one is not among them."""
        aliases = next(aliases for aliases in self.answers if aliases[0] == verdict)
        known = {year for alias in aliases for year in _YEAR.findall(alias)}
        return bool(known and _YEAR.fullmatch(following) and following not in known)

    def _is_other_person(self, before: str, separator: str, following: str) -> bool:
        """Whether given names of another person follow a surname: "Clinton, Hillary"."""
        if "person" not in self.forms or len(normalise(before).split()) != 1:
            return False
        if self._named.get(normalise(f"{following} {before}")):
            return False
        pattern = {",": _GIVEN_NAMES, "(": _INITIALS_ONLY}.get(separator)
        return bool(pattern and pattern.fullmatch(following))

    def _after_prefaces(self, body: str) -> Iterator[str]:
        """Iterate over what follows each preface that names no answer itself, without its leading phrase."""
        for end in _PREFACE_END.finditer(body):
            head, tail = body[: end.start()], body[end.end() :]
            if self._mentions_a_name(head):
                return
            announced = bool(_STARTS_WITH_ANNOUNCEMENT.match(_without_greeting(tail)))
            contrasted = end["but"] and not _EXCLUSION.search(head)
            if announced or contrasted or self._is_preface(head, end, len(body.split())):
                yield _without_leading_phrase(tail)

    def _is_preface(self, head: str, end: re.Match[str], num_words: int) -> bool:
        """Whether an answer may follow without an announcement: "Good question! Peru", "Country: Peru"."""
        if end["example"]:
            return num_words <= MAX_WORDS_WITH_EXAMPLE and not _NEGATION.search(head)
        if not end["strong"]:
            return self._describes(head)
        ends_a_sentence = end["strong"].strip()[:1] in tuple(".!?…")
        if _NEGATION.search(head) and not ends_a_sentence:
            return False
        words = head.split()
        named = [word for word in normalise(head).split() if not word.isdigit()]
        return (
            any(word[0].islower() for word in words)
            or normalise(head) in self._places
            or self._adds_nothing(named, _FUNCTION_WORDS)
        )

    def _describes(self, head: str) -> bool:
        """Whether a preface describes the answer that follows: "The largest state, Alaska"."""
        words = head.lower().split()
        return bool(words) and (
            words[0] in ("the", "one", "another", "my")
            and tuple(normalise(words[-1]).split()) in self._phrases
        )

    def _mentions_a_name(self, head: str) -> bool:
        """Whether capitalised words of a preface hold a name from the lists."""
        return any(self._spans_of_names(normalise(run).split()) for run in _CAPITALISED.findall(head))


def _lines(text: str) -> Iterator[str]:
    """Iterate over the lines of a sample that can give its answer, without markdown (rules 1 and 2)."""
    for line in text.splitlines():
        stripped = _MARKDOWN_AND_QUOTES.sub("", _LIST_MARKER.sub("", line)).strip()
        rest = normalise(_without_leading_phrase(stripped))
        if stripped.endswith(":") or not rest or rest == "answer":
            continue
        yield " ".join(stripped.split()[:MAX_WORDS_OF_LINE])


def _without_leading_phrase(line: str) -> str:
    while (shorter := _LEADING_PHRASE.sub("", line, count=1)) != line:
        line = shorter
    return line


def _without_greeting(line: str) -> str:
    return re.sub(rf"^(?:{_GREETING})+", "", line, flags=re.IGNORECASE)


def parse_open_questions(rows: Iterable[dict[str, Any]]) -> tuple[OpenQuestion, ...]:
    """Make questions from the rows of the JSON file.

    Raises:
        ValueError: if a list breaks a rule, or two questions have one id.
    """
    questions = tuple(
        OpenQuestion(
            id=row["id"],
            text=row["text"],
            source=row["source"],
            is_closed=row.get("closed", True),
            as_of=row.get("as_of"),
            answers=tuple(tuple(aliases) for aliases in row["answers"]),
            distractors=tuple(row.get("distractors", ())),
            qualifiers=tuple(row.get("qualifiers", ())),
            forms=frozenset(row.get("forms", ())),
            other_kinds=tuple(row.get("other_kinds", ())),
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
    """Load the 40 questions in a fixed order; they are checked while they are read."""
    file = resources.files("slr.tasks").joinpath("open_qa_questions.json")
    return parse_open_questions(json.loads(file.read_text(encoding="utf-8")))
