r"""The number that a text gives as its final answer.

1. The text ends where it runs on into a made-up next problem or turn (``run_on``).
2. Of several marks the last one with a number counts. Marks are "answer: 18", "answer is 18", "answer = 18",
   "#### 18", "<answer>18</answer>", "\boxed{18}", "\fbox{18}", "18 is the answer", and a heading "Answer" (in
   any case, with markdown).
3. The number stands on the line behind a mark, or on the next line if nothing follows the mark. It is the
   number that this line starts with ("$7", "about **7** apples"), or the last number of an equation ("3 + 4 =
   7", "18 eggs = $36"), or else the only number of its first sentence ("Tom has 7 apples."). Nothing is
   calculated.
4. An answer that commits to no single number gives none: "10 to 12", "10 or 11", "3 hours and 30 minutes",
   "at least 18", "not 18", "3 + 4". "About 18" commits to 18, and is right only if 18 is exactly right.
5. A number that is taken back gives way to the one that replaces it: "18 is wrong, the right one is 20" and
   "18? No, 20." give 20. If no number replaces it, there is no answer.
6. A text without a marked answer has none, unless the caller asks for its last number.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from slr.tasks.run_on import run_on_markers, run_on_start
from slr.tasks.written_numbers import WrittenNumber, find_numbers, number_at, plain_line

_DECORATION = r"[\s*_\"'`}]{0,6}"
_SAYS = r"(?:is|was|be|equals|becomes|comes\s(?:out\s)?to|works\sout\s(?:to|as))(?![\w])"
_MARKS = (
    rf"(?<![A-Za-z0-9/])(?:ans|answer){_DECORATION}(?:\([^()\n]{{0,40}}\){_DECORATION})?(?::=?|：|=>?|→|->|–\s|—\s?|-\s(?=\D{{0,4}}[0-9]))",
    rf"(?<!\w)answer(?:['’]s(?=\W{{0,6}}[0-9])|{_DECORATION}(?:,?\s(?:to|for|in|of|we|i|you|here|then|therefore|thus|now|"
    rf"as|would|should|must|has|ought|will|can|could)(?:\s[^\s.:;!?]+){{0,10}}?)?,?\s{{1,3}}{_SAYS}(?:n['’]t)?)",
    r"(?<!\w)answer\s(?=(?:isn['’]t|wasn['’]t|can['’]?not\sbe|can['’]t\sbe)\s)",
    r"(?<!\w)answer\sof\s(?=\W{0,3}[0-9])",
    r"(?<!\w)final\sanswer\s(?=[*$€£\-−]{0,4}[0-9])",
    r"^[ \t#*_>]{0,20}(?:the\s)?(?:final\s)?answer[ \t*_]{0,9}$",
    r"<\|?(?:final[_ -]?)?answer\|?>|\[answer\]",
    r"(?<!\w)answer\s(?:in|to|for)\s[^\n.:;!?]{1,40}[:=]",
    r"(?<!\w)ans\.\s(?=[*$€£\-−]{0,4}[0-9])",
)
_MARK = re.compile("|".join(f"(?:{mark})" for mark in _MARKS), re.IGNORECASE | re.MULTILINE)
_HASHES = re.compile(r"####(?![#])")
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_BETWEEN_BOXES = re.compile(
    r"[\s$*.,]*(?:,|or|and|to|-|–|\\text\{\s*(?:or|and|to)\s*\})[\s$*.,]*", re.IGNORECASE
)
_SAID_BEFORE = re.compile(
    r"\s(?:is|was|will\s+be|must\s+be)\s(?:the|our|my)\s(?:(?:final|correct|right)\s)?answer(?=\s*(?:[.!*_]|$))",
    re.IGNORECASE | re.MULTILINE,
)
"""Pattern of a mark behind its number: "so 540 is the answer"."""
_LONGEST_SAID_BEFORE = 80
"""Number of characters before such a mark in which its number is searched."""
_END_OF_MARK = re.compile(r"</(?:final[_ -]?)?answer|\[/answer", re.IGNORECASE)

_ECHO = re.compile(
    r"[^\w\n]*(?:and|followed\s+by|then|plus)\s+(?:the|a|your|my)\s+(?:final\s+)?(?:number|result|answer|value)(?!\w)"
    r"(?![ *_$]{0,6}(?:(?:is|=)[ *_$]{0,3})?[0-9])",
    re.IGNORECASE,
)
"""Pattern of the request's own words behind its mark: "end with 'answer: ' and the number"."""
_LIST_MARKER = re.compile(r"^\s*(?:[-*•>]|[0-9][.)](?=\s+\S))\s+")
# Some models break the line before the equals sign of their last equation.
_BROKEN_EQUATION = re.compile(r"(?<=[0-9)])[^\S\n]*\n\s{0,9}(?==)")
_LABELLED_ITEM = re.compile(
    r"\s*(?:[-*•]\s+)?[*_]{0,2}[^\W\d][^\n:=]{0,30}[*_]{0,2}[:=][*_\s$€£]{0,6}[0-9][0-9.,]*\W*(?:[a-z]+\W*)?$",
    re.IGNORECASE,
)
"""Pattern of one of several answers: "- Tom: 5 apples"."""
# Directly behind a mark a dash before a number is its sign, even with a space between them.
_SPACED_MINUS = re.compile(r"^\s*(?:-\s+|–)(?=[$£€]?[0-9])")
_HEADING = re.compile(r"\s*(?:step\b|[0-9]{1,2}[.):][ \t]+[^\W\d])", re.IGNORECASE)
# The full stop of an abbreviation would end the sentence before its number.
_ABBREVIATION = re.compile(r"(?<!\w)(approx|ca|max|min|no|rs|resp)\.(?=\s)", re.IGNORECASE)
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s")
_PARENTHESES = re.compile(r"\([^()]*\)")
# The letter of a multiple choice ("B) 18") is not the answer; the number behind it is.
_OPTION = re.compile(r"^\W*(?:\(?[A-E][).]|(?:[Oo]ption|[Cc]hoice)\s+\(?[A-E0-9][).:]{1,2})\s+(?=\S)")

_ORNAMENT = r"[\s:,*_`\"'“”‘’«»\[({|~≈#=→]*"
_LEAD = re.compile(
    rf"{_ORNAMENT}(?:(?:it['’]s|that['’]s|that|it|this|which|is|be|to|will|would|should|so|then|thus|therefore|hence|indeed|now|"
    r"simply|exactly|precisely|just|only|clearly|equal|equals|about|around|approximately|approx|roughly|circa|ca|"
    r"a\s+total\s+of|the\s+(?:number|total|sum|answer)|actually|really|obviously|definitely|certainly|probably|likely|maybe|also|still|calculated|found|"
    rf"computed|determined|given|as|[a-z](?=\s*=))(?!\w){_ORNAMENT})*",
    re.IGNORECASE,
)
_COMPARING = (
    r"(?:(?<!\w)(?:(?:more|less|fewer|greater|higher|lower|larger|smaller|bigger)\s+than|at\s+(?:the\s+)?(?:least|most)|"
    r"(?:up|close|closer)\s+to|over|under|above|below|nearly|almost|exceeds?|exceeding|(?:a\s+)?minimum(?:\s+of)?|"
    r"(?:a\s+)?maximum(?:\s+of)?|between|either|from|(?:half|twice|double|triple)(?:\s+of)?)(?!\w)|[<>≥≤±]=?)\s*"
    r"(?:[*_$(\"'`]|the\s)*"
)
_COMPARED_FIRST = re.compile(rf"\W*?{_COMPARING}", re.IGNORECASE)
_COMPARED_BEFORE = re.compile(rf"{_COMPARING}$", re.IGNORECASE)
# A number behind an operator is a term of a calculation, and nothing is calculated here.
_COMPUTED_BEFORE = re.compile(r"(?:(?<!\w)(?:times|plus|minus|by)\s|[-+*/×÷]\s)[\s$(]*$", re.IGNORECASE)
_NOT = (
    r"(?:(?<!\w)(?:not|never|no\s+longer|(?:is|was)n['’]t|can(?:not|\snot|['’]t))"
    r"(?:\s+(?:be|just|only|exactly|equal\s+to))?(?!\w)|≠|!=)"
)
_NOT_FIRST = re.compile(rf"\W*{_NOT}", re.IGNORECASE)
_NOT_BEFORE = re.compile(rf"{_NOT}\W*$", re.IGNORECASE)
# "The answer is found by ..." tells how, not what, so another mark has to give the number.
_HOW_FOUND = re.compile(
    r"\W*(?:\w+\s)?(?:obtained|found|calculated|computed|determined|based|derived|reached|arrived|given)(?!\w)"
    r"(?!\s+(?:to\s+be|as)\s)",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    r"\W*(?:(?:definitely|clearly|also|still)\s)?(?:wrong|incorrect|not\s+(?:right|correct))(?!\w)",
    re.IGNORECASE,
)
_IN_ANGLES = re.compile(r"<([^<>]{0,40})>")

# The possessive quantifier (*+) keeps a long run of letters from being split in every possible way. Without it the
# time would grow with a power of the length.
_UNIT = (
    r"(?:\s*(?!(?:to|or|and|through|until|minus|plus|times|because|since|as|is)(?!\w))"
    r"(?![$€£¢][0-9])[A-Za-z%°€£¢$][\w%/²³^$]*+){0,3}"
)
_MAYBE = (
    r"(?:(?:maybe|perhaps|possibly|even|about|around|approximately|alternatively|equivalently|in\s+other\s+words|also|else|"
    r"it\s+is)\W+)*"
)
_QUOTES = r"[\s*_`\"'”’“‘\[\](){}<>?$]*"
_ANOTHER = re.compile(
    rf"(?:{_QUOTES}(?:→|->|–|—|-|~|\.\.+|…|/|\||(?<=\s):(?=\s?[0-9]))|{_QUOTES}{_UNIT}{_QUOTES}(?:,?\s*(?P<and>and(?!\w)|&)|"
    rf",?\s*(?:to|through|until|or|but|vs\.?|maybe|perhaps|possibly)(?!\w)|(?P<list>[,;?])))"
    rf"[\s*_`\"'“‘(\[{{,]*{_MAYBE}",
    re.IGNORECASE,
)
_END_OF_LIST = re.compile(r"[\s*_)\]}]*(?:\w+\s*)?(?:$|[,.;?]|and(?!\w)|or(?!\w))", re.IGNORECASE)
_OPERATOR = re.compile(
    r"(?:[a-z](?=\s*[-+*/]))?[\s*_$)]*(?:[-+*/×÷^–x·±]|plus|minus|times|divided\s+by|multiplied\s+by|%\s*of|percent\s+of)[\s*($£€.\-]*(?=[0-9])",
    re.IGNORECASE,
)
_AT_LEAST_AFTER = re.compile(
    rf"{_UNIT}[\s,*_]*(?:or\s+(?:more|less|fewer|higher|lower|above|below|greater|over|under)|at\s+(?:the\s+)?(?:least|most)|"
    r"and\s+(?:up|above)|minimum|maximum)(?!\w)|\s*\+(?!\s*[0-9(])",
    re.IGNORECASE,
)
_COMPOUND = re.compile(
    r"\s*(?:hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|days?|weeks?|months?|years?|feet|foot|ft|inch(?:es)?|yards?|"
    r"miles?|pounds?|lbs?|ounces?|oz|dollars?|cents?|kg|g|km|cm|mm|met(?:er|re)s?|gallons?|quarts?|pints?|cups?|dozens?|'|’)"
    r"(?![A-Za-z]),?\s*",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"[;:!?(]|[.,](?![0-9])|(?<!\w)(?:because|since|as|where|so|when|given|if|after|not|or)(?!\w)",
    re.IGNORECASE,
)
_EQUALS = re.compile(
    r"(?<![<>!=])=+|≈|(?<!\w)(?:equals|is\s+equal\s+to|which\s+is|gives|makes)(?!\w)", re.IGNORECASE
)
_UNKNOWN = re.compile(r"(?<!\w)([a-z])\s*=", re.IGNORECASE)
_CIRCUMSTANCE = re.compile(
    r"^\W*(?:after|before|in|by|if|when|since|because|with|for|at|given|over|during|starting)(?!\w)[^,]*,"
    r"|(?<!\w)(?:after|before|because|since|if|when|while|given|within|during|than)(?!\w).*$"
    r"|(?<!\w)(?:in|every|per|over|out\s+of|each\s+of|the|these|those|all|his|her|their)\s+"
    r"(?:(?:the|next|first|last|past|other|following|remaining)\s+)*[$€£]?[\w,.-]+"
    r"|(?<!\w)(?:for|on)\s+[0-9][0-9,.]*+(?!\s*(?:dollar|cent|euro|pound))",
    re.IGNORECASE,
)
"""Pattern of what a sentence says besides its answer.

Examples are "After 3 weeks, ...", "... because he had 20" and "the 4 children".
"""
_RESULT = re.compile(
    r",\s*(?:making|leaving|giving|earning|totall?ing|resulting\s+in|for\s+a\s+(?:grand\s+)?total\s+of|so)(?!\w)",
    re.IGNORECASE,
)
_PARTITIVE = re.compile(r"\s+(?:of|way|more|can|that|who|thing)(?!\w)", re.IGNORECASE)

_STARTS = r"(?:^|[,.!?;:(\[—–…\n-]|(?<!\w)(?:but|oh|or|and)(?!\w))[\s*_($]*"
_WRONG = (
    r"(?:wrong|incorrect|false|mistaken|impossible|not\s+(?:right|correct|the\s+(?:right|correct|answer|final))|"
    r"an?\s+(?:mistake|error)|too\s+(?:low|high|small|large|big|many|few|much|little))"
)
# "No" counts only before punctuation or a number: "no apples" takes nothing back.
_TAKEN_BACK = re.compile(
    rf"{_STARTS}(?:no(?=\s*(?:[,.!;:—–…-]|wait|it(?!\w)|that|this|the\s|[$€£]?[0-9]))|nope|oops|not\s+quite|correction|corrected|"
    r"scratch\s+that|strike\s+that|my\s+(?:mistake|bad)|i\s+made\s+an?\s+(?:mistake|error)|make\s+that|"
    rf"rather(?!\s+than)|wrong|incorrect)(?!\w)|{_STARTS}(?:(?!if\s)[\w’']+\s+){{0,4}}?"
    rf"(?:\w+['’]s|is|was|are|were|seems|looks|would\s+be|must\s+be)\s+(?:(?!not\s)\w+\s+)?{_WRONG}(?!\w)|"
    r"(?:isn['’]?t|wasn['’]?t|can['’]?t\s+be|cannot\s+be)\s+(?:right|correct)",
    re.IGNORECASE,
)
_SECOND_THOUGHT = re.compile(
    rf"{_STARTS}(?:wait|hmm+|hold\s+on|actually|er+m?|uh+|sorry|i\s+mean|i\s+meant|let\s+me|instead|should\s+be|must\s+be|"
    rf"but\s+(?:now|it|that|the\s+(?:right|correct|real|true|actual)\s+\w+)(?:['’]s|\s+(?:is|should|must|was)))(?!\w)|"
    r"(?<!\w)but\s+(?=[$€£]?[0-9][0-9.,]*\s+is\s+(?:right|correct|the)(?!\w))",
    re.IGNORECASE,
)
_REASON = re.compile(r"(?<!\w)(?:because|since)\s[^.;!?\n]*", re.IGNORECASE)
_CLAIM = re.compile(
    r"(?:^|[,.!?:;(—…=→≈\n]|(?<!\w)(?:is|be|was|are|it['’]s|that['’]s|equals|makes?|but|so|mean|meant|actually|rather|instead|to|"
    r"get|gives|got|no|wait|sorry|correction|that|so\s+\w+\s+(?:has|have|gets?|makes?|needs?))(?!\w))"
    r"(?:[\s*_$\"'“(\[]|actually\s|really\s|only\s|just\s|then\s)*$",
    re.IGNORECASE,
)
_USED = re.compile(
    r"\s+(?:\w+\s+)?(?:more|less|fewer|times|than|of)(?!\w)|\s+(?:is|was)\s+(?:also\s+)?(?:wrong|incorrect|not)(?!\w)",
    re.IGNORECASE,
)
_LONGEST_SECOND_THOUGHT = 300
"""Number of characters behind a number in which it can be taken back."""
_LINES_OF_SECOND_THOUGHTS = 2
"""Number of lines below an answer in which it can be taken back."""
_CONTENT = re.compile(r"[^\W_]")
_SIGNS_FIRST = re.compile(r"[^\w=]*")
_MOST_SIGNS = 40
"""Largest number of signs before a number."""
_MOST_MARKS = 50
"""Number of marks that are read, from the last one on. A text with more empty marks than this gives no answer."""
_LONGEST_REGION = 1000
"""Number of characters read behind a mark. The limit keeps the time linear for a text with many marks."""


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """A mark of an answer.

    Attributes:
        value: position at which the mark's value begins.
        end: position at which the text behind the mark begins.
        box: what is in the mark if it is a box; None otherwise.
    """

    value: int
    end: int
    box: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What stands behind one mark: a number, a denied number, or neither, which commits to no number."""

    number: WrittenNumber | None = None
    denied: WrittenNumber | None = None


_NO_SINGLE_NUMBER = _Reading()


def parse_final_answer(text: str, *, last_number_counts: bool = False) -> str | None:
    """Find the number that a text gives as its final answer, by the rules of the module; never raises.

    Args:
        text: what a model wrote.
        last_number_counts: whether the last number of a text without a marked answer is its answer.

    Returns:
        The number as ``Fraction`` reads it, without currency, plus sign and thousands separators
        (``-1234.50``); None if there is no answer.
    """
    markers = run_on_markers(text)
    marks = _marks(text)
    end = run_on_start(text, markers, marks[0].value if marks else len(text))
    denied = set()
    # The last mark is read first. A mark that only denies a number leaves the answer to the mark before it.
    for reading in _readings(text, [mark for mark in marks if mark.end <= end], [*markers, len(text)]):
        if reading.denied is not None:
            denied.add(reading.denied.value)
        elif reading.number is None or reading.number.value in denied:
            return None
        else:
            return reading.number.text
    if last_number_counts and not denied:
        return _last_number(text[:end])
    return None


def _marks(text: str) -> list[_Mark]:
    """Find all marks, in order. Boxes that are joined ("[10] or [11]") are one mark."""
    headings = (match for match in _HASHES.finditer(text) if not _HEADING.match(text, match.end()))
    marks = [_Mark(value=match.end(), end=match.end()) for match in (*_MARK.finditer(text), *headings)]
    for match in _SAID_BEFORE.finditer(text):
        before = text[max(0, match.start() - _LONGEST_SAID_BEFORE) : match.start()]
        said = re.split(r"[\n!?;]|\.\s", before)[-1]
        if find_numbers(plain_line(said)):
            marks.append(_Mark(value=match.start() - len(said), end=match.end(), box=said))
    boxes: list[_Mark] = []
    for match in _BOX.finditer(text):
        box = _Mark(value=match.start(), end=match.end(), box=match[1])
        last = boxes[-1] if boxes else None
        if last is not None and (joint := _BETWEEN_BOXES.fullmatch(text, last.end, match.start())):
            boxes[-1] = _Mark(value=last.value, end=match.end(), box=f"{last.box} {joint[0]} {match[1]}")
        else:
            boxes.append(box)
    return sorted(marks + boxes, key=lambda mark: mark.end)


def _readings(text: str, marks: list[_Mark], stops: list[int]) -> Iterator[_Reading]:
    """Read what stands behind each mark, the last one first; marks with nothing to read are left out."""
    for mark in reversed(marks[-_MOST_MARKS:]):
        stop = stops[bisect_left(stops, mark.end)]
        region = text[mark.end : min(stop, mark.end + _LONGEST_REGION)]
        if (closing := _END_OF_MARK.search(region)) is not None:
            region = region[: closing.start()]
        reading = _read_region(region) if mark.box is None else _read_box(mark.box, region)
        if reading is not None:
            yield reading


def _read_box(box: str, behind: str) -> _Reading | None:
    reading = _read_line(" ".join(plain_line(box).split()), "")
    if reading is None or reading.number is None:
        return reading
    line, _, below = behind.partition("\n")
    tail = re.sub(r"^[\s$*.\])]+(?=\w)", " ", plain_line(line))
    return _judge(reading.number, tail, _second_thoughts(below))


def _read_region(region: str) -> _Reading | None:
    """Read the first line with anything in it (rule 3); ``region`` starts behind a mark."""
    if _CONTENT.search(region) is None or _ECHO.match(region):
        return None
    same_line, _, below = _BROKEN_EQUATION.sub(" ", region).partition("\n")
    if _CONTENT.search(same_line):
        line = plain_line(same_line)
    else:
        first, below = _first_line(below)
        line = _LIST_MARKER.sub("", plain_line(first))
        if _LABELLED_ITEM.match(first) and _LABELLED_ITEM.match(_first_line(below)[0]):
            return _NO_SINGLE_NUMBER
    return _read_line(line, _second_thoughts(below))


def _first_line(text: str) -> tuple[str, str]:
    """Split off the first line with anything in it."""
    content = _CONTENT.search(text)
    if content is None:
        return "", ""
    line, _, below = text[text.rfind("\n", 0, content.start()) + 1 :].partition("\n")
    return line, below


def _second_thoughts(below: str) -> str:
    lines = [line for line in below.split("\n") if _CONTENT.search(line)]
    return "\n".join(plain_line(line) for line in lines[:_LINES_OF_SECOND_THOUGHTS])


def _read_line(line: str, below: str) -> _Reading | None:
    line = _SPACED_MINUS.sub("-", line)
    line = _IN_ANGLES.sub(r" \1 ", _OPTION.sub("", _ABBREVIATION.sub(r"\1", line)))
    if _JUDGED.match(line):
        return _Reading(number=_replacement(f"{line}\n{below}"))
    if _HOW_FOUND.match(line):
        return None
    # Two unknowns ("x = 3, y = 4") are two answers.
    if len({match[1].lower() for match in _UNKNOWN.finditer(line)}) > 1:
        return _NO_SINGLE_NUMBER
    lead = _LEAD.match(line)
    start = lead.end() if lead is not None else 0
    if (denial := _NOT_FIRST.match(line, start)) is not None:
        return _read_denial(line, denial.end(), below)
    if (compared := _COMPARED_FIRST.match(line, start)) is not None and _first_number(line, compared.end()):
        return _NO_SINGLE_NUMBER
    number = _first_number(line, start)
    if number is None or (number.in_words and _PARTITIVE.match(line, number.end)):
        return _read_prose(line, below)
    return _read_claim(line, number, below)


def _first_number(line: str, start: int) -> WrittenNumber | None:
    """Read the number that the line begins with from ``start`` on, after signs."""
    begin = _SIGNS_FIRST.match(line, start)
    end = min(begin.end() if begin is not None else start, start + _MOST_SIGNS)
    # The sign and the currency belong to a number, so the earliest place where one begins counts.
    numbers = (number_at(line, position) for position in range(start, end + 1))
    return next((number for number in numbers if number is not None), None)


def _read_denial(line: str, start: int, below: str) -> _Reading | None:
    """Read "not 18" and "not 18 but 20"."""
    if (compared := _COMPARED_FIRST.match(line, start)) is not None and _first_number(line, compared.end()):
        return _NO_SINGLE_NUMBER
    number = _first_number(line, start)
    if number is None:
        return None
    replacement = _replacement(f"{line[number.end :]}\n{below}")
    return _Reading(denied=number) if replacement is None else _Reading(number=replacement)


def _read_claim(line: str, number: WrittenNumber, below: str) -> _Reading | None:
    """Read a line that begins with a number."""
    equals = _EQUALS.search(line, number.end)
    is_term = _OPERATOR.match(line, number.end) is not None
    if equals is None or (not is_term and _BREAK.search(line, number.end, equals.start())):
        return _judge(number, line[number.end :], below)
    reading = _read_equation(line[number.start :], below)
    if reading is not None and reading.number is not None and reading.number.value == number.value:
        return _Reading(number=number)
    return reading


def _read_equation(line: str, below: str) -> _Reading | None:
    """Read the last side of an equation that is a number, with or without a unit."""
    end = len(line)
    for sign in reversed([None, *_EQUALS.finditer(_blank_parentheses(line))]):
        start = 0 if sign is None else sign.end()
        number = _first_number(line, start)
        if number is not None and not _OPERATOR.match(line, number.end):
            return _judge(number, line[number.end : end], below)
        end = start if sign is None else sign.start()
    return None


def _blank_parentheses(line: str) -> str:
    """Replace what is in parentheses by spaces, so that positions stay."""
    return _PARENTHESES.sub(lambda match: " " * len(match[0]), line)


def _read_prose(line: str, below: str) -> _Reading | None:
    """Read the last number of an equation, or the only number of the first sentence."""
    line = line.strip()
    blanked = _blank_parentheses(line)
    sentence = _END_OF_SENTENCE.split(blanked, maxsplit=1)[0]
    if "=" in blanked:
        return _read_equation(line, below)
    if _EQUALS.search(sentence) and (reading := _read_equation(sentence, below)) is not None:
        return reading
    candidates = _said_numbers(sentence)
    if candidates and _is_one_of_several(candidates[0], line[candidates[0].end :]):
        return _NO_SINGLE_NUMBER
    if len(candidates) > 1:
        sentence = _main_clause(sentence)
        candidates = _said_numbers(sentence)
    if len(candidates) != 1:
        return None
    number = candidates[0]
    # Digits outside the number belong to something that could not be read as a number, so it is not the only one.
    if len(re.findall(r"\d+", sentence)) != len(re.findall(r"\d+", sentence[number.start : number.end])):
        return None
    return _read_only_number(number, line[: number.start], line[number.end :], below)


def _said_numbers(sentence: str) -> list[WrittenNumber]:
    """Find the numbers in digits, or else the numbers in words; "one" is seldom a number."""
    numbers = find_numbers(sentence)
    digits = [number for number in numbers if not number.in_words]
    return digits or [number for number in numbers if number.value != 1]


def _main_clause(sentence: str) -> str:
    """Replace by spaces all that does not give a sentence's result, so that positions stay."""
    results = [match.end() for match in _RESULT.finditer(sentence)]
    if results and _said_numbers(sentence[results[-1] :]):
        sentence = " " * results[-1] + sentence[results[-1] :]
    return _CIRCUMSTANCE.sub(lambda match: " " * len(match[0]), sentence)


def _read_only_number(number: WrittenNumber, before: str, tail: str, below: str) -> _Reading | None:
    if _COMPUTED_BEFORE.search(before):
        return None
    if _COMPARED_BEFORE.search(before):
        return _NO_SINGLE_NUMBER
    if _NOT_BEFORE.search(before):
        return _Reading(denied=number)
    return _judge(number, tail, below)


def _judge(number: WrittenNumber, tail: str, below: str) -> _Reading:
    """Decide whether a text stays with a number, by what follows it on its line and on the next ones."""
    after = f"{tail[:_LONGEST_SECOND_THOUGHT]}\n{below}"
    if (taken_back := _TAKEN_BACK.search(after)) is not None:
        return _Reading(number=_replacement(after[taken_back.start() :]))
    second_thought = _SECOND_THOUGHT.search(after)
    if second_thought is not None and (replacement := _replacement(after[second_thought.start() :])):
        return _Reading(number=replacement)
    if _AT_LEAST_AFTER.match(tail) or _OPERATOR.match(tail) or _is_one_of_several(number, tail):
        return _NO_SINGLE_NUMBER
    return _Reading(number=number)


def _is_one_of_several(number: WrittenNumber, tail: str) -> bool:
    """Whether a second number follows that makes a range, a choice, a list or a compound quantity."""
    if (unit := _COMPOUND.match(tail)) is not None and number_at(f" {tail[unit.end() :]}", 1) is not None:
        return True
    # Two numbers with only a space between them are two answers, unless they are equal.
    neighbour = number_at(tail, 1) if re.match(r"\s[0-9]", tail) else None
    if neighbour is not None and neighbour.value != number.value:
        return True
    joint = _ANOTHER.match(tail)
    other = None if joint is None else _first_number(tail, joint.end())
    if joint is None or other is None:
        return False
    if _is_conversion(tail[: joint.end()], tail[other.end :]):
        return False
    # A comma can also begin a new thought, which is no list: "18, 3 more than before".
    if joint["list"] and not _END_OF_LIST.match(tail, other.end):
        return False
    # "3 dollars and 0 cents" is still one amount.
    if joint["and"] and other.value == 0:
        return False
    return other.value != number.value


def _is_conversion(between: str, behind: str) -> bool:
    """Whether "or" gives the same amount in another unit of measure: "30 minutes, or 0.5 hours"."""
    first, second = _COMPOUND.match(between), _COMPOUND.match(behind)
    if first is None or second is None or not re.search(r"(?<!\w)or(?!\w)", between):
        return False
    names = [re.sub(r"s?[\s,]*$", "", match[0].strip().lower()) for match in (first, second)]
    return names[0] != names[1]


def _replacement(text: str) -> WrittenNumber | None:
    """Find the last number that a second thought claims, and does not only calculate with."""
    text = _REASON.sub(" ", text[:_LONGEST_SECOND_THOUGHT])
    claimed = [
        number
        for number in find_numbers(text)
        if _CLAIM.search(text, max(0, number.start - 40), number.start)
        and not _OPERATOR.match(text, number.end)
        and not _USED.match(text, number.end)
    ]
    if not claimed or _is_one_of_several(claimed[-1], text[claimed[-1].end :]):
        return None
    return claimed[-1]


def _last_number(text: str) -> str | None:
    numbers = [number for line in text.split("\n") for number in find_numbers(plain_line(line))]
    digits = [number for number in numbers if not number.in_words]
    said = digits or [number for number in numbers if number.value != 1]
    return said[-1].text if said else None
