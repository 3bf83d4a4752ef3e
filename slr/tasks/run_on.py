"""Where a text runs on, that is, where a base model makes up the next problem or turn behind its answer.

A marker is a word such as "Question:" or "User:", or a token of a chat template. It stands at the start of a
line or within a line, glued to the answer or after it. A problem can also begin without a marker: behind an
answer, a line that asks for an amount and gives other amounts begins one ("Tom has 5 pens and loses 2. How
many has he?").
"""

from __future__ import annotations

import re

_PROBLEM = (
    r"(?:questions?|ques|query|problems?|exercises?|tasks?|examples?|puzzles?|prompts?|instructions?|inputs?)"
)
_TURN = r"(?:user|human|assistant|system|student|customer|bot|ai)"
_KIND = (
    r"(?:(?:the\s+|a\s+|and\s+|now\s+)?(?:next|new|another|second|third|bonus|practice|similar|related|extra|word|math|"
    r"sample|follow[- ]?up|challenge)\s+){0,2}"
)
_NUMBERED = r"\s*(?:#|no\.?\s?)?\s*[0-9]+[a-z]?"
_OPENING = r"[ \t>#*_\-•=\"'(\[]{0,15}"
_CLOSING = r"[*_\])\"']{0,4}"

# Base models write the tokens of chat templates as text, because their training data has them.
_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|<[|｜](?:turn|tool)>?|<(?:turn|tool)[|｜]>|\[\|[a-z ]{1,20}\|\]"
    r"|<(?:start_of_turn|end_of_turn|start_of_image|bos|eos|pad|unk|s|/s|human|user|bot|assistant|question|problem)>"
    r"|\[/?(?:INST|SYS|BOS|EOS|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]|<</?SYS>>",
    re.IGNORECASE,
)
_GLUED = re.compile(r"(?<=[a-z])(?:Question|Problem|Exercise|User|Human|Assistant)(?:\s?[0-9]+)?\s?:")
_LINE = re.compile(
    rf"^{_OPENING}(?:"
    rf"{_KIND}{_PROBLEM}(?:\s(?:statement|text))?{_CLOSING}(?:\s*[:：]|\s*$|{_NUMBERED}(?!\w))"
    rf"|{_TURN}{_CLOSING}(?:{_NUMBERED})?(?:\s*[:：]|\s*$)"
    rf"|(?:model|start_header_id){_CLOSING}\s*$"
    rf"|q{_CLOSING}(?:\s*[:：]|[.)]\s|\s*[.]?[0-9]+{_CLOSING}\s*[:：.)])"
    rf"|ex(?:ercise)?\.?\s*[0-9]+{_CLOSING}\s*[:：.)]"
    rf"|(?:now\s+)?(?:please\s+)?(?:solve|answer|read|consider|try)\s+(?:the|this|another)\s+(?:\w+\s+)?{_PROBLEM}(?!\w)"
    rf"|here(?:'s|’s|\sis|\sare)\s+(?:another|a|the\snext|some|more)\s+(?:\w+\s+){{0,2}}{_PROBLEM}(?!\w)"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_WITHIN_LINE = re.compile(
    rf"(?<![A-Za-z_\-/])(?:[*#_]{{1,4}}\s?)?(?:"
    rf"{_KIND}(?:questions?|problems?|exercises?|instructions?){_CLOSING}(?:{_NUMBERED})?{_CLOSING}\s*[:：]"
    r"|#{2,4}\s*response\s*:"
    rf"|(?:exercise|problem|question|example){_NUMBERED}(?!\w)"
    rf"|{_TURN}{_CLOSING}\s*[:：]"
    rf"|q{_CLOSING}(?:\s?[0-9]+)?\s*[:：]"
    rf"|(?<=[0-9.!?)\]}}$%*])(?:user|human|assistant|model|system)\s*$"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
# Words that go on with a solution ("Wait", "So", "Therefore") begin no problem.
_UNTITLED = re.compile(
    r"^[ \t>*_]*(?=[^\W\d_])(?!(?:wait|but|so|let|now|hm+|then|next|first|check|verif|double|is|are|did|does|do|why|to|"
    r"and|therefore|thus|hence|here|this|that|note|since|because|we|you|i)(?!\w))"
    r"(?P<question>[^\n?]{0,600}(?:\?|end\s+with\s+['\"“‘]?answer))",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS_AMOUNT = re.compile(r"(?<!\w)(?:how\s+\w+|what)(?!\w)|end\s+with", re.IGNORECASE)
_SPEAKS_OF_ITS_OWN = re.compile(
    r"(?<!\w)(?:the|this|that|these|a|an|my|your|our|its|original|first|whole|actual|given|to|of|in|from|for|per|each|by|"
    r"re-?reading|main|only|one)\s+[*_\"']{0,3}$",
    re.IGNORECASE,
)
# The numbers of steps are no amounts.
_LIST_MARKER = re.compile(
    r"^\s*[#*\s]*(?:step\s+)?[0-9]{1,2}[.):]\s|(?<!\w)step\s+[0-9]+", re.IGNORECASE | re.MULTILINE
)
_AMOUNT = re.compile(
    r"[0-9]|(?<!\w)(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty)(?!\w)",
    re.IGNORECASE,
)
_TURN_START = re.compile(rf"{_OPENING}(?:<|\[|{_TURN}(?!\w)|model(?!\w))", re.IGNORECASE)
_LONGEST_QUESTION = 600
"""Number of characters behind a marker in which its question is searched."""
_NOTHING = re.compile(r"[\W_]*")


def run_on_markers(text: str) -> list[int]:
    """Find the positions at which a new problem or turn may begin, in order."""
    found = {match.start() for pattern in (_TOKEN, _LINE, _GLUED) for match in pattern.finditer(text)}
    for match in _WITHIN_LINE.finditer(text):
        # "The question: ..." speaks about the problem at hand, so an article or preposition before a word unmarks it.
        if not _SPEAKS_OF_ITS_OWN.search(text, max(0, match.start() - 24), match.start()):
            found.add(match.start())
    return sorted(found)


def run_on_start(text: str, markers: list[int], first_mark: int) -> int:
    """Find the position of the first marker behind an answer.

    An amount behind the first mark is an answer. An amount without a mark is an answer too, with two
    exceptions. If the text begins with a marker, it repeats its own problem. If the marker asks about no
    amount of its own, it may ask about the text before it ("Tom has 3 and finds 4. Question: how many now?").

    Args:
        text: what a model wrote.
        markers: positions from ``run_on_markers``.
        first_mark: position at which the value of the first mark of an answer begins, or the text's length.

    Returns:
        The position; the text's length if there is none.
    """
    untitled = _untitled_problem(text, first_mark)
    repeats = bool(markers) and _NOTHING.fullmatch(text, 0, markers[0]) is not None
    for marker in markers:
        if marker >= untitled:
            break
        if marker >= first_mark and _AMOUNT.search(text, first_mark, marker):
            return marker
        if (
            not repeats
            and _AMOUNT.search(_LIST_MARKER.sub(" ", text[:marker]))
            and _is_about_another(text, marker)
        ):
            return marker
    return untitled


def _untitled_problem(text: str, first_mark: int) -> int:
    """Find the start of a line behind an answer that asks for an amount and gives others.

    A line that goes on with the solution ("Wait, how many ...?") does not count.

    Returns:
        The position; the text's length if there is none.
    """
    for match in _UNTITLED.finditer(text, first_mark):
        if (
            _ASKS_AMOUNT.search(match["question"])
            and _AMOUNT.search(match["question"])
            and _AMOUNT.search(text, first_mark, match.start())
        ):
            return match.start()
    return len(text)


def _is_about_another(text: str, marker: int) -> bool:
    """Whether a turn begins at the marker, or a question with an amount of its own."""
    if _TURN_START.match(text, marker):
        return True
    question = text[marker : marker + _LONGEST_QUESTION].partition("?")[0]
    return _AMOUNT.search(question) is not None
