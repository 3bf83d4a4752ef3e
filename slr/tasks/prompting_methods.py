"""Prompting methods that ask for several answers in one call: requests, parsers, and the draw of one answer.

* ``direct``: the request itself; the reply is the answer.
* ``list``: k different answers, of which one is drawn uniformly.
* ``verbalized``: verbalized sampling (Zhang et al. 2025, arXiv 2510.01171): k answers, each with its
  probability, of which one is drawn from the stated distribution.

There are two dialects: ``english`` for language models, and ``testbed`` for the tiny models. The world of the
tiny models knows only the wordings and the two formats of ``slr.testbed.documents`` (a list ``x, y, z``;
lines ``x: 0.20``).

An English reply is read in the first of these formats that finds an answer:

1. Blocks ``<answer probability="0.2">x</answer>``, also ``<response>``, with the attribute or with tags
   ``<text>`` and ``<probability>`` inside (the format of the paper). A block that is not closed runs to the
   next one or to the end of the reply.
2. JSON: objects with a ``text``, ``response`` or ``answer`` and a ``probability``, anywhere in the reply. A
   list of strings counts only if the reply is nothing else.
3. Lines: the ones with a number ("1.", "1)"), or else lines with a bullet
   ("-", "*"), or else all lines except introductions ("Sure!", "Here are five cities:"). A single line is
   split at its numbers or, if it has no marker, at its commas.

A reply cut by the token limit ends in a partial answer. Nothing marks it in a list, so it counts like the
other answers there. In a verbalized reply it lacks its probability and gets None, so it is not drawn.
Refusals look like short answers and are not recognised. A repeated answer is kept as often as it is given.
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
from slr.vocabulary import PromptingMethod

Dialect = Literal["english", "testbed"]
Marker = Literal["none", "bullet", "number"]
StatedAnswer = tuple[str, float | None]
"""An answer and its stated probability in [0, 1]; None where no probability can be read."""

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
# The lookbehind lets a match begin only at the first link sign. So a long run of signs is not tried from each of
# its signs, and the time stays linear.
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


def compose_english_request(method: PromptingMethod, request: str, count: int) -> str:
    """Write the request for several answers to an open question or a writing request.

    Args:
        method: the prompting method; "direct" leaves the request unchanged.
        request: the request for one answer.
        count: number of answers to ask for.

    Raises:
        ValueError: if ``count`` is below 2.
    """
    if count < 2:
        raise ValueError(f"got count {count}, expected at least 2: for one answer use the method 'direct'")
    return ENGLISH_WORDINGS[method].format(request=request, count=count)


def compose_testbed_request(
    method: PromptingMethod, request: str, things: str, count: int, *, wording: int = 0
) -> str:
    """Write the request for several things in a wording that testbed models know.

    Args:
        method: the prompting method; "direct" leaves the request unchanged.
        request: the request for one answer.
        things: what is asked for, in the plural.
        count: number of answers to ask for, 2 to 5.
        wording: index into ``LIST_REQUESTS`` or ``VERBALIZED_REQUESTS``.

    Raises:
        ValueError: if there is no such count or wording.
    """
    if count not in NUMBERS:
        raise ValueError(
            f"got count {count}, expected one of {sorted(NUMBERS)}: the testbed's models know no other numbers"
        )
    if method == "direct":
        return request
    wordings = LIST_REQUESTS if method == "list" else VERBALIZED_REQUESTS
    if not 0 <= wording < len(wordings):
        raise ValueError(
            f"got wording {wording}, expected 0 to {len(wordings) - 1} for the method {method!r}"
        )
    return wordings[wording].format(count=NUMBERS[count], things=things)


def parse_list(text: str, dialect: Dialect) -> tuple[str, ...]:
    """Read the answers of a reply to a "list" request, in their order; never raises.

    In English the reply has one of the formats of the module. In the testbed it is ``x, y, z`` on the first
    line with text in it.

    Args:
        text: the reply.
        dialect: "english" or "testbed".

    Returns:
        The answers; empty if nothing can be read.
    """
    if dialect == "testbed":
        return _split_at_commas(_first_line(text))
    structured = _blocks(text) or _json_answers(text)
    if structured:
        return tuple(answer for answer, _ in structured)
    lines = _lines(text)
    if len(lines) == 1 and lines[0].marker == "none":
        return _split_at_commas(_INTRODUCTION_BEFORE_LIST.sub("", lines[0].content).removesuffix("."))
    return tuple(
        filter(None, (_clean(line.content) for line in lines if line.marker == _answer_marker(lines)))
    )


def parse_verbalized(text: str, dialect: Dialect) -> tuple[StatedAnswer, ...]:
    """Read the answers of a reply to a "verbalized" request with their probabilities; never raises.

    In English the reply has one of the formats of the module, or lines such as "x | 0.2", "x: 0.20", "x
    (20%)", "1. x - 0.2" or "x (probability: 0.2)", or a table of two columns, or the probability on the line
    after its answer. In the testbed it has lines ``x: 0.20``; the first other line ends it. If that line is
    the last one, it is an answer that was cut.

    Args:
        text: the reply.
        dialect: "english" or "testbed".

    Returns:
        The answers; empty if nothing can be read. A probability is None where it is missing or not in [0, 1].
        Percents are converted. Probabilities need not sum to one.
    """
    if dialect == "testbed":
        return _stated_in_testbed_lines(text)
    structured = _blocks(text) or _json_answers(text)
    if structured:
        return tuple(structured)
    return tuple(_stated_in_lines(_lines(text)))


def draw_answer(answers: Sequence[StatedAnswer], rng: random.Random) -> str | None:
    """Draw one answer by the stated probabilities, renormalised over the answers that state one.

    If no answer states a probability, or all stated ones are zero, all answers are equally likely.

    Returns:
        The answer; None if there are no answers.
    """
    if not answers:
        return None
    weights = [probability or 0.0 for _, probability in answers]
    if sum(weights) <= 0.0:
        weights = [1.0] * len(answers)
    return rng.choices([answer for answer, _ in answers], weights=weights)[0]


def draw_samples(
    texts: Sequence[str],
    *,
    method: PromptingMethod,
    dialect: Dialect,
    seed: int | str,
) -> tuple[str | None, ...]:
    """Draw one answer out of the raw text of each call; with "direct" or "few_shot" it is the text itself.

    Call i draws with a generator of its own, seeded by ``seed`` and i, so it does not depend on other calls.

    Args:
        texts: the reply of each call.
        method: the prompting method.
        dialect: "english" or "testbed".
        seed: seed of the draws.

    Returns:
        One answer for each call; None where the reply could not be parsed.
    """
    if method in ("direct", "few_shot"):
        return tuple(texts)
    drawn: list[str | None] = []
    for index, text in enumerate(texts):
        if method == "list":
            answers = tuple((answer, None) for answer in parse_list(text, dialect))
        else:
            answers = parse_verbalized(text, dialect)
        drawn.append(draw_answer(answers, random.Random(f"{seed}/{index}")))
    return tuple(drawn)


def _probability(text: str) -> float | None:
    """Read the probability in a number such as "0.2", ".2", "0,2" or "20%"; None if it is not in [0, 1]."""
    if not (match := _ONLY_PROBABILITY.match(text.strip())):
        return None
    number = match["number"].replace(",", ".")
    return _in_range(float(number.rstrip("% ")) / 100 if "%" in number else float(number))


def _in_range(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def _blocks(text: str) -> list[StatedAnswer]:
    """Read answers between tags (format 1 of the module)."""
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
    """Read answers in JSON objects or in a list of strings (format 2 of the module)."""
    bare = _CODE_FENCE.sub("", text).strip()
    answers: list[StatedAnswer] = []
    position = 0
    while opening := _JSON_OPENING.search(bare, position):
        try:
            value, position = json.JSONDecoder(strict=False).raw_decode(bare, opening.start())
            answers += _answers_in_json(value, strings=opening.start() == 0)
        except (ValueError, RecursionError):
            position = opening.start() + 1
            # The token limit may have cut the last object. Its answer can be read even so.
            if cut := _CUT_JSON_OBJECT.match(bare, opening.start()):
                answers.append((_unescaped(cut[1]), None))
    cleaned = ((_clean(answer), probability) for answer, probability in answers)
    return [(answer, probability) for answer, probability in cleaned if answer]


def _unescaped(string: str) -> str:
    """Decode the inside of a JSON string; if an escape in it was cut, return it as it is."""
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
    """Split a reply into the lines that may be answers: no blank lines, rules, code fences or remarks."""
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
    """Whether a line only introduces answers, or says goodbye after them."""
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
    """Find the marker of lines that are answers: a number, or else a bullet, or else none (format 3)."""
    markers = {line.marker for line in lines}
    return "number" if "number" in markers else "bullet" if "bullet" in markers else "none"


def _split_at_inline_numbers(row: str) -> list[str]:
    """Split "1. x 2. y 3. z" into its parts; empty if the row does not count up from one to at least two."""
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
    """Read the lines with a probability, and the lines without one whose marker says that they are answers."""
    if len(lines) == 1 and lines[0].marker == "none" and (answers := _stated_in_one_line(lines[0].content)):
        return answers
    answers: list[StatedAnswer] = []
    marker = _answer_marker(lines)
    for line in lines:
        answer, probability = _split_stated(line.content)
        # A line with a probability alone belongs to the answer on the line before it.
        if not answer and answers and answers[-1][1] is None:
            answers[-1] = (answers[-1][0], probability)
        elif answer and (probability is not None or line.marker == marker):
            answers.append((answer, probability))
    return answers


def _stated_in_one_line(content: str) -> list[StatedAnswer]:
    """Read "x (0.2), y (0.3)"; empty unless there are several parts and each states a probability."""
    parts = [_split_stated(part) for part in re.split(r"[,;]\s+", _INTRODUCTION_BEFORE_LIST.sub("", content))]
    complete = len(parts) > 1 and all(answer and probability is not None for answer, probability in parts)
    return parts if complete else []


def _split_stated(content: str) -> StatedAnswer:
    """Split a line into its answer, which may be empty, and the probability that it states."""
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
    """Split "x | 0.2", "| 1 | x | 0.2 |" or "0.2 | x"; there is no answer in the header of a table."""
    cells = [_without_emphasis(cell.strip()) for cell in content.strip(" |").split("|")]
    if len(cells) > 2 and cells[0].rstrip(".").isdecimal():
        cells = cells[1:]
    # The first row of a table has the word instead of a probability.
    if any(cell.casefold().startswith("probab") and not _ONLY_PROBABILITY.match(cell) for cell in cells[1:]):
        return "", None
    if len(cells) > 1 and _is_fraction(cells[0]) and not _ONLY_PROBABILITY.match(cells[1]):
        return _clean(cells[1]), _probability(cells[0])
    stated = next((cell for cell in cells[1:] if _ONLY_PROBABILITY.match(cell)), "")
    return _clean(cells[0]), None if _is_cut_number(stated) else _probability(stated)


def _is_stated(trailing: re.Match[str]) -> bool:
    """Whether a number at the end of a line is a probability, not a part of the answer such as a year."""
    link, number = trailing["link"], trailing["number"]
    if trailing["label"] or (link.strip() and _is_fraction(number)):
        return True
    if not link.strip():
        return bool(link) and ("%" in number or number.startswith(("0.", ".")))
    # A bare 1 needs a sign that links it, because a name can end in a 1.
    return number == "0" or (number == "1" and any(sign in link for sign in ":=>→"))


def _stated_number(trailing: re.Match[str]) -> float | None:
    cut = _is_cut_number(trailing["number"] + trailing["after"])
    return None if cut else _probability(trailing["number"])


def _is_cut_number(number: str) -> bool:
    """Whether a reply was cut inside a number such as "0."."""
    return re.fullmatch(r"[0-9]+\.", number.strip()) is not None


def _is_fraction(number: str) -> bool:
    """Whether a text is a number with decimals or in percent."""
    return re.fullmatch(r"[0-9]*[.,][0-9]+(?:\s*%)?|[0-9]+\s*%", number.strip()) is not None


def _without_emphasis(text: str) -> str:
    """Remove pairs of emphasis marks of markdown, and a mark that was never closed."""
    while (shorter := _EMPHASIS.sub(r"\2", text)) != text:
        text = shorter
    return _LEADING_EMPHASIS.sub("", text).strip()


def _clean(answer: str) -> str:
    """Strip an answer; from one of a single line remove emphasis and quotes too. It is empty if only dots are left."""
    answer = answer.strip()
    if "\n" in answer:
        return answer
    answer = _without_emphasis(answer)
    if len(answer) > 1 and _QUOTES.get(answer[0]) == answer[-1] and answer[0] not in answer[1:-1]:
        answer = answer[1:-1].strip()
    return answer if answer.strip(".…-–—*_|:;,()[]{}` ") else ""
