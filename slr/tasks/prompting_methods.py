"""Prompting methods that ask for several answers in one call: requests, parsers, and the draw of one answer.

* ``direct``: the request itself; the reply is the answer.
* ``list``: k different answers; one of them is drawn uniformly.
* ``verbalized``: verbalized sampling (Zhang et al. 2025, arXiv 2510.01171): k answers, each with its
  probability; one of them is drawn from the stated distribution.

Dialects: ``english`` for language models, ``testbed`` for the tiny models, whose world only knows the
wordings and the two formats of ``slr.testbed.documents`` (a list ``x, y, z``; lines ``x: 0.20``).

How an English reply is read, the first of these that finds an answer:

1. Blocks ``<answer probability="0.2">x</answer>``, also ``<response>``, with the attribute or with tags
   ``<text>`` and ``<probability>`` inside (the format of the paper). A block that is not closed runs to the
   next one or to the end of the reply.
2. JSON: objects with a ``text``, ``response`` or ``answer`` and a ``probability``, wherever they are; a list
   of strings if the reply is nothing else.
3. Lines, unless long answers were asked for: those with a number ("1.", "1)"), or else those with a bullet
   ("-", "*"), or else all but introductions ("Sure!", "Here are five cities:"). A single line is split at its
   numbers, or else (without a marker) at its commas.

A reply cut by the token limit ends in a partial answer. Nothing marks it in a list, so it counts like the
others there; in a verbalized reply it lacks its probability, gets None, and so is not drawn. Refusals look
like short answers and are not recognised. A repeated answer is kept as often as it is given.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from slr.testbed.documents import LIST_REQUESTS, NUMBERS, VERBALIZED_REQUESTS

PromptingMethod = Literal["direct", "list", "verbalized"]
Dialect = Literal["english", "testbed"]
Marker = Literal["none", "bullet", "number"]
StatedAnswer = tuple[str, float | None]
"""An answer and its stated probability in [0, 1], None where none can be read."""

ENGLISH_WORDINGS: dict[PromptingMethod, str] = {
    "direct": "{request}",
    "list": (
        "{request}\n\nGive {count} different answers as a numbered list, one per line, and nothing else."
    ),
    "verbalized": (
        "{request}\n\nGive {count} different answers with the probability of each. "
        "Write one per line, as: answer | probability"
    ),
}
ENGLISH_WORDINGS_FOR_LONG_ANSWERS: dict[PromptingMethod, str] = {
    "direct": "{request}",
    "list": (
        "{request}\n\nGive {count} different answers and nothing else. "
        "Write each of them between tags, as: <answer> ... </answer>"
    ),
    "verbalized": (
        "{request}\n\nGive {count} different answers with the probability of each, and nothing else. "
        'Write each of them between tags, as: <answer probability="0.2"> ... </answer>'
    ),
}

_BLOCK = re.compile(
    r"<(?P<tag>answer|response)\b(?P<attributes>[^<>]*)>(?P<body>.*?)(?=</(?P=tag)\b|<(?P=tag)\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_TEXT_TAG = re.compile(r"<(?:text|answer)\b[^<>]*>(.*?)(?=</?(?:text|answer|probability)\b|\Z)", re.I | re.S)
_PROBABILITY_TAG = re.compile(r"<probability\b[^<>]*>([^<]*)</probability", re.IGNORECASE)
_PROBABILITY_ATTRIBUTE = re.compile(r"\bprob\w*\s*=\s*[\"']?([^\"']*)", re.IGNORECASE)
_ANY_TAG = re.compile(r"</?(?:text|answers?|responses?|probability)\b[^<>]*>?|</?[a-z]*$", re.IGNORECASE)

_JSON_TEXT_KEYS = ("text", "response", "answer")
_JSON_OPENING = re.compile(r"[\[{]")
_CUT_JSON_OBJECT = re.compile(r'\{\s*"(?:text|response|answer)"\s*:\s*"((?:[^"\\]|\\.)*)')
_CODE_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)

_EMPHASIS = re.compile(r"(?<![\w*_`])(\*{1,3}|_{1,3}|`+)(?=\S)(.{1,200}?)(?<=\S)\1(?![\w*_`])")
_LEADING_EMPHASIS = re.compile(r"^\*+(?=[^\s*])")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“"}
_HEADING = re.compile(r"^(?:#+|>)\s+")
_NUMBER_MARKER = re.compile(
    r"^(?:\(?[0-9]{1,3}[.)]|(?:answer|response|option)\s+[0-9]{1,3}\s*[:.)])(?:\s+|$)", re.I
)
_BULLET_MARKER = re.compile(r"^[-–—•*+](?:\s+|$)")
_INLINE_NUMBER = re.compile(r"(?:^|(?<=\s))\(?([0-9]{1,2})[.)]\s+")
_ANSWER_LABEL = re.compile(r"^(?:answer|response)\s*:\s*", re.IGNORECASE)
_POLITE = r"(?:sure|certainly|of course|absolutely|okay|here(?:['’]s|\s+are|\s+is)?)\b"
_INTRODUCTION = re.compile(rf"^{_POLITE}.*[:.!]$|:$", re.IGNORECASE)
_INTRODUCTION_BEFORE_LIST = re.compile(rf"^{_POLITE}[^:]*:\s+", re.IGNORECASE)
_FAREWELL = re.compile(r"^(?:let me know|(?:i )?hope (?:this|these|that)|feel free|enjoy)\b", re.IGNORECASE)
_LAST_CONJUNCTION = re.compile(r"^(?:and|or)\s+", re.IGNORECASE)

_NUMBER = r"(?P<number>(?:[0-9]+(?:[.,][0-9]+)?|\.[0-9]+)(?:\s*%)?)"
_LABEL = (
    r"(?:(?:with\s+)?(?:an?\s+)?(?:(?:probability|prob\.?|chance|likelihood)(?:\s+(?:of|is))?|p\s*(?==))\s*)"
)
_LINK = r"\s(\[:;,=~≈>→–—-"
_TRAILING_PROBABILITY = re.compile(
    rf"(?<![{_LINK}])(?P<link>[{_LINK}]*(?:(?<!\w)(?P<label>{_LABEL})[:=~≈(\s]*)?){_NUMBER}"
    r"(?P<after>\s*(?:probability|chance|likelihood)?[\s)\]]*\.?)$",
    re.IGNORECASE,
)
_BRACKETED_PROBABILITY = re.compile(
    rf"[(\[]\s*(?P<label>{_LABEL})?[:=~≈\s]*{_NUMBER}\s*(?:probability|chance|likelihood)?\s*[)\]]", re.I
)
_LEADING_PROBABILITY = re.compile(rf"^{_NUMBER}\s*[:–—-]\s*(?P<answer>\S.*)$")
_ONLY_PROBABILITY = re.compile(rf"^[(\[\s]*(?:{_LABEL})?[:=~≈\s]*{_NUMBER}[)\]\s]*\.?$", re.IGNORECASE)
_TABLE_RULE = re.compile(r"^[\s|:-]*\|[\s|:-]*$|^[-=_*\s]{3,}$")
_CUT_BRACKET = re.compile(r"\s*[(\[][^()\[\]]*$")
_LINK_SIGNS = " |([:;,=~≈>→–—-"
_TESTBED_LINE = re.compile(r"^(?P<answer>.*\S)\s*:\s*(?P<number>[0-9]*\.[0-9]+)$")
_CUT_TESTBED_PROBABILITY = re.compile(r"\s*:\s*[0-9.]*$")


def compose_english_request(
    method: PromptingMethod, request: str, count: int, *, long_answers: bool = False
) -> str:
    """The request for ``count`` answers to any open question or writing request; for "direct" unchanged.

    ``long_answers`` asks for answers of several lines, such as stories and poems, between tags.
    Raises ValueError if ``count`` is below 2.
    """
    if count < 2:
        raise ValueError(f"got count {count}, expected at least 2: for one answer use the method 'direct'")
    wordings = ENGLISH_WORDINGS_FOR_LONG_ANSWERS if long_answers else ENGLISH_WORDINGS
    return wordings[method].format(request=request, count=count)


def compose_testbed_request(
    method: PromptingMethod, request: str, things: str, count: int, *, wording: int = 0
) -> str:
    """The request for ``count`` of ``things`` (a plural) in a wording that testbed models know.

    ``request`` asks for one of them, and is what "direct" returns; ``wording`` is an index into
    ``LIST_REQUESTS`` or ``VERBALIZED_REQUESTS``. Raises ValueError for a count outside 2 to 5 or no such wording.
    """
    if count not in NUMBERS:
        raise ValueError(
            f"got count {count}, expected one of {sorted(NUMBERS)}: the testbed has no other words"
        )
    if method == "direct":
        return request
    wordings = LIST_REQUESTS if method == "list" else VERBALIZED_REQUESTS
    if not 0 <= wording < len(wordings):
        raise ValueError(
            f"got wording {wording}, expected 0 to {len(wordings) - 1} for the method {method!r}"
        )
    return wordings[wording].format(count=NUMBERS[count], things=things)


def parse_list(text: str, dialect: Dialect, *, long_answers: bool = False) -> tuple[str, ...]:
    """The answers of a reply to a "list" request, in their order; empty if nothing can be read.

    English: the formats of the module; with ``long_answers`` only blocks and JSON, as lines would be pieces
    of a text. Testbed: ``x, y, z`` on the first line with text in it. Never raises.
    """
    if dialect == "testbed":
        return _split_at_commas(_first_line(text))
    structured = _blocks(text) or _json_answers(text)
    if structured or long_answers:
        return tuple(answer for answer, _ in structured)
    lines = _lines(text)
    if len(lines) == 1 and lines[0].marker == "none":
        return _split_at_commas(_INTRODUCTION_BEFORE_LIST.sub("", lines[0].content).removesuffix("."))
    return tuple(
        filter(None, (_clean(line.content) for line in lines if line.marker == _answer_marker(lines)))
    )


def parse_verbalized(text: str, dialect: Dialect, *, long_answers: bool = False) -> tuple[StatedAnswer, ...]:
    """The answers of a reply to a "verbalized" request with their probabilities; empty if there are none.

    English: the formats of the module, and lines such as "x | 0.2", "x: 0.20", "x (20%)", "1. x - 0.2" or
    "x (probability: 0.2)", a table of two columns, or the probability on the line after its answer; with
    ``long_answers`` only blocks and JSON. Testbed: lines ``x: 0.20`` up to the first that is none, which
    counts only as the last line, where it is an answer that was cut.

    A probability is None where it is missing or not in [0, 1]; percents are converted. Probabilities need not
    sum to one. Never raises.
    """
    if dialect == "testbed":
        return _stated_in_testbed_lines(text)
    structured = _blocks(text) or _json_answers(text)
    if structured or long_answers:
        return tuple(structured)
    return tuple(_stated_in_lines(_lines(text)))


def draw_answer(answers: Sequence[StatedAnswer], rng: random.Random) -> str | None:
    """One answer drawn by the stated probabilities, renormalised over the answers that state one.

    If none states one, or all that do state zero, all answers are equally likely. None if there are none.
    """
    if not answers:
        return None
    weights = [probability or 0.0 for _, probability in answers]
    if sum(weights) <= 0.0:
        weights = [1.0] * len(answers)
    return rng.choices([answer for answer, _ in answers], weights=weights)[0]


@dataclass(frozen=True, kw_only=True)
class DrawnSamples:
    """One drawn answer for each call, None where the reply could not be parsed."""

    answers: tuple[str | None, ...]

    @property
    def failure_share(self) -> float | None:
        """The share of calls without an answer, in [0, 1]; None if there were no calls."""
        return self.answers.count(None) / len(self.answers) if self.answers else None


def draw_samples(
    texts: Sequence[str],
    *,
    method: PromptingMethod,
    dialect: Dialect,
    seed: int | str,
    long_answers: bool = False,
) -> DrawnSamples:
    """One answer out of the raw text of each call; with "direct" it is the text itself, unparsed.

    Call i draws with a generator of its own, seeded by ``seed`` and i, so that it does not depend on others.
    """
    if method == "direct":
        return DrawnSamples(answers=tuple(texts))
    drawn: list[str | None] = []
    for index, text in enumerate(texts):
        if method == "list":
            answers = tuple((answer, None) for answer in parse_list(text, dialect, long_answers=long_answers))
        else:
            answers = parse_verbalized(text, dialect, long_answers=long_answers)
        drawn.append(draw_answer(answers, random.Random(f"{seed}/{index}")))
    return DrawnSamples(answers=tuple(drawn))


def _probability(text: str) -> float | None:
    """The probability that a number such as "0.2", ".2", "0,2" or "20%" states; None if not in [0, 1]."""
    if not (match := _ONLY_PROBABILITY.match(text.strip())):
        return None
    number = match["number"].replace(",", ".")
    return _in_range(float(number.rstrip("% ")) / 100 if "%" in number else float(number))


def _in_range(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def _blocks(text: str) -> list[StatedAnswer]:
    """Answers between tags (format 1 of the module)."""
    answers: list[StatedAnswer] = []
    for block in _BLOCK.finditer(text):
        body = block["body"]
        inner = _TEXT_TAG.search(body)
        stated = _PROBABILITY_ATTRIBUTE.search(block["attributes"]) or _PROBABILITY_TAG.search(body)
        answer = _clean(_ANY_TAG.sub("", inner[1] if inner else _PROBABILITY_TAG.sub("", body)))
        probability = _probability(stated[1]) if stated else None
        if not stated and not inner and "\n" not in answer:
            answer, probability = _split_stated(answer)
        if answer:
            answers.append((answer, probability))
    return answers


def _json_answers(text: str) -> list[StatedAnswer]:
    """Answers of JSON objects or of a list of strings (format 2 of the module)."""
    bare = _CODE_FENCE.sub("", text).strip()
    answers: list[StatedAnswer] = []
    position = 0
    while opening := _JSON_OPENING.search(bare, position):
        try:
            value, position = json.JSONDecoder(strict=False).raw_decode(bare, opening.start())
            answers += _answers_in_json(value, strings=opening.start() == 0)
        except (ValueError, RecursionError):
            position = opening.start() + 1
            if cut := _CUT_JSON_OBJECT.match(bare, opening.start()):
                answers.append((_unescaped(cut[1]), None))
    cleaned = ((_clean(answer), probability) for answer, probability in answers)
    return [(answer, probability) for answer, probability in cleaned if answer]


def _unescaped(string: str) -> str:
    """The inside of a JSON string as text; as it is where an escape of it was cut."""
    try:
        return json.loads(f'"{string}"', strict=False)
    except ValueError:
        return string


def _answers_in_json(value: Any, strings: bool) -> Iterator[StatedAnswer]:
    if isinstance(value, list):
        for item in value:
            if isinstance(item, str) and strings:
                yield item, None
            elif isinstance(item, dict | list):
                yield from _answers_in_json(item, strings=False)
    elif isinstance(value, dict):
        entries = {key.casefold(): entry for key, entry in value.items()}
        answer = next((entries[key] for key in _JSON_TEXT_KEYS if key in entries), None)
        if isinstance(answer, str | int | float):
            stated = next((entry for key, entry in entries.items() if key.startswith("prob")), None)
            yield str(answer), _probability(stated) if isinstance(stated, str) else _in_range(stated)
        else:
            for entry in entries.values():
                yield from _answers_in_json(entry, strings=isinstance(entry, list))


@dataclass(frozen=True)
class _Line:
    """A line without its marker and emphasis."""

    content: str
    marker: Marker = "none"


def _lines(text: str) -> list[_Line]:
    """The lines that may be answers: no blank ones, rules and code fences, nor introductions above others."""
    rows = [row.strip() for row in _CODE_FENCE.sub("", text).splitlines()]
    rows = [row for row in rows if row and not _TABLE_RULE.match(row)]
    if len(rows) == 1 and (numbered := _split_at_inline_numbers(rows[0])):
        return [_Line(_clean(content), "number") for content in numbered]
    lines = [_marked(row) for row in rows]
    return [
        line
        for index, line in enumerate(lines)
        if line.content
        and not (line.marker == "none" and _is_remark(line.content, is_last=index == len(lines) - 1))
    ]


def _is_remark(content: str, *, is_last: bool) -> bool:
    """Whether a line only introduces answers, or takes leave after them."""
    return (_FAREWELL if is_last else _INTRODUCTION).search(content) is not None


def _marked(row: str) -> _Line:
    row = _HEADING.sub("", row)
    if bullet := _BULLET_MARKER.match(row):
        inner = _marked(row[bullet.end() :])
        return inner if inner.marker == "number" else _Line(inner.content, "bullet")
    plain = _without_emphasis(row)
    if number := _NUMBER_MARKER.match(plain):
        return _Line(_without_emphasis(plain[number.end() :]), "number")
    return _Line(_ANSWER_LABEL.sub("", plain))


def _answer_marker(lines: list[_Line]) -> Marker:
    """The marker of lines that are answers: a number, or else a bullet, or else none (format 3 of the module)."""
    markers = {line.marker for line in lines}
    return "number" if "number" in markers else "bullet" if "bullet" in markers else "none"


def _split_at_inline_numbers(row: str) -> list[str]:
    """The parts of "1. x 2. y 3. z"; empty if the row does not count up from one to at least two."""
    numbers = list(_INLINE_NUMBER.finditer(row))
    if len(numbers) < 2 or [int(number[1]) for number in numbers] != list(range(1, len(numbers) + 1)):
        return []
    ends = [number.start() for number in numbers[1:]] + [len(row)]
    parts = (row[number.end() : end] for number, end in zip(numbers, ends, strict=True))
    return [part.strip().rstrip(",;") for part in parts]


def _split_at_commas(line: str) -> tuple[str, ...]:
    parts = line.split(",")
    if len(parts) > 1:
        parts[-1] = _LAST_CONJUNCTION.sub("", parts[-1].strip())
    return tuple(filter(None, map(_clean, parts)))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _stated_in_testbed_lines(text: str) -> tuple[StatedAnswer, ...]:
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    matches = list(takewhile(bool, map(_TESTBED_LINE.match, rows)))
    answers = [(match["answer"], _probability(match["number"])) for match in matches if match]
    if len(answers) == len(rows) - 1 and (cut := _CUT_TESTBED_PROBABILITY.sub("", rows[-1])):
        answers.append((cut, None))
    return tuple(answers)


def _stated_in_lines(lines: list[_Line]) -> list[StatedAnswer]:
    """Answers of lines with a probability, and of those without whose marker says that they are answers."""
    if len(lines) == 1 and lines[0].marker == "none" and (answers := _stated_in_one_line(lines[0].content)):
        return answers
    answers: list[StatedAnswer] = []
    marker = _answer_marker(lines)
    for line in lines:
        answer, probability = _split_stated(line.content)
        if not answer and answers and answers[-1][1] is None:
            answers[-1] = (answers[-1][0], probability)
        elif answer and (probability is not None or line.marker == marker):
            answers.append((answer, probability))
    return answers


def _stated_in_one_line(content: str) -> list[StatedAnswer]:
    """Answers of "x (0.2), y (0.3)"; empty unless there are several parts and each states a probability."""
    parts = [_split_stated(part) for part in re.split(r"[,;]\s+", _INTRODUCTION_BEFORE_LIST.sub("", content))]
    complete = len(parts) > 1 and all(answer and probability is not None for answer, probability in parts)
    return parts if complete else []


def _split_stated(content: str) -> StatedAnswer:
    """A line cut into its answer, which may be empty, and the probability it states."""
    if "|" in content:
        return _split_cells(content)
    if _ONLY_PROBABILITY.match(content) and not content.isdecimal():
        return "", _probability(content)
    if (trailing := _TRAILING_PROBABILITY.search(content)) and _is_stated(trailing):
        return _clean(content[: trailing.start()]), _stated_number(trailing)
    if (bracketed := _BRACKETED_PROBABILITY.search(content)) and (
        bracketed["label"] or _is_fraction(bracketed["number"])
    ):
        around = content[: bracketed.start()].strip() or content[bracketed.end() :].strip(" :–—-")
        return _clean(around), _probability(bracketed["number"])
    if (leading := _LEADING_PROBABILITY.match(content)) and _is_fraction(leading["number"]):
        return _clean(leading["answer"]), _probability(leading["number"])
    return _clean(_CUT_BRACKET.sub("", content).rstrip(_LINK_SIGNS)), None


def _split_cells(content: str) -> StatedAnswer:
    """The cells of "x | 0.2", "| 1 | x | 0.2 |" or "0.2 | x"; no answer for the header of a table."""
    cells = [_without_emphasis(cell.strip()) for cell in content.strip(" |").split("|")]
    if len(cells) > 2 and cells[0].rstrip(".").isdecimal():
        cells = cells[1:]
    if any(cell.casefold().startswith("probab") and not _ONLY_PROBABILITY.match(cell) for cell in cells[1:]):
        return "", None
    if len(cells) > 1 and _is_fraction(cells[0]) and not _ONLY_PROBABILITY.match(cells[1]):
        return _clean(cells[1]), _probability(cells[0])
    stated = next((cell for cell in cells[1:] if _ONLY_PROBABILITY.match(cell)), "")
    return _clean(cells[0]), None if _is_cut_number(stated) else _probability(stated)


def _is_stated(trailing: re.Match[str]) -> bool:
    """Whether a number at the end of a line is a probability, not part of the answer such as a year."""
    link, number = trailing["link"], trailing["number"]
    if trailing["label"] or (link.strip() and _is_fraction(number)):
        return True
    if not link.strip():
        return bool(link) and ("%" in number or number.startswith(("0.", ".")))
    return number == "0" or (number == "1" and any(sign in link for sign in ":=>→"))


def _stated_number(trailing: re.Match[str]) -> float | None:
    cut = _is_cut_number(trailing["number"] + trailing["after"])
    return None if cut else _probability(trailing["number"])


def _is_cut_number(number: str) -> bool:
    """Whether a reply was cut inside of a number such as "0."."""
    return re.fullmatch(r"[0-9]+\.", number.strip()) is not None


def _is_fraction(number: str) -> bool:
    """Whether a text is a number with decimals or in percent."""
    return re.fullmatch(r"[0-9]*[.,][0-9]+(?:\s*%)?|[0-9]+\s*%", number.strip()) is not None


def _without_emphasis(text: str) -> str:
    """The text without pairs of emphasis marks of markdown, and without one that was never closed."""
    while (shorter := _EMPHASIS.sub(r"\2", text)) != text:
        text = shorter
    return _LEADING_EMPHASIS.sub("", text).strip()


def _clean(answer: str) -> str:
    """An answer without whitespace around it; of one line, without emphasis and quotes, empty if only dots."""
    answer = answer.strip()
    if "\n" in answer:
        return answer
    answer = _without_emphasis(answer)
    if len(answer) > 1 and _QUOTES.get(answer[0]) == answer[-1] and answer[0] not in answer[1:-1]:
        answer = answer[1:-1].strip()
    return answer if answer.strip(".…-–—*_|:;,()[]{}` ") else ""
