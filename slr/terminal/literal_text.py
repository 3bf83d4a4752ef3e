"""Text from outside, written so that it shows itself and nothing in it acts.

Outside is all that we did not write: samples, requests, error messages, names of models, pairs and judges, paths.
``visible`` is for whatever a person reads, a terminal too; the others are for one format each, and include it.
HTML needs ``html.escape`` of it, LaTeX ``analysis.tables.latex.escaped``.
"""

from __future__ import annotations

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""They only shape letters of Persian and Indian scripts, and emoji."""
FORMULA_SIGNS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection"); the last four are of full width."""

_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?%?")
_MEANS_SOMETHING_IN_MARKDOWN = re.compile(
    r"""
      [\\`*~|$\n]
    | (?<![^\W_])_ | _(?![^\W_])     # an underscore between two letters is one
    | <(?=[A-Za-z/!?])
    | &(?=\#?\w+;)
    | (?<=\w):(?=//) | (?<=[Ww]{3})\. | (?<=[\w.+-])@(?=[\w-]+\.)  # GitHub makes links of bare addresses
    """,
    re.VERBOSE,
)
_LINK = re.compile(r"\][(\[:]|\[\^")
_BRACKET = re.compile(r"[\[\]]")
_BEGINS_A_BLOCK = re.compile(r"(?P<number>\d{1,9})?(?P<sign>(?(number)[.)]|[#>+=-]))")
_AS_ENTITY = "<&$@:\n"
"""In place of a backslash: these also act where a Markdown renderer looks at the text before or after parsing."""


def visible(text: str, keep: str = "") -> str:
    r"""The text with its control characters written out, such as ``\x1b``, ``\r`` and ``\u202e``.

    These are the ones that move a terminal's cursor, change its colours, turn the direction of text around or end a
    line. ``keep`` has those that stay, such as line feeds where several lines are wanted.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if _is_control(character) and character not in keep
        else character
        for character in text
    )


def in_markdown(text: str) -> str:
    """The text for a table's cell or within a line: a renderer shows it, and makes no link, picture or markup of it.

    What has no meaning where it stands is left alone, so that ordinary words and numbers stay as they are.
    """
    escaped = _MEANS_SOMETHING_IN_MARKDOWN.sub(_escaped_in_markdown, visible(text, keep="\n\t"))
    return _BRACKET.sub(r"\\\g<0>", escaped) if _LINK.search(text) else escaped


def markdown_line(text: str) -> str:
    """The text as a paragraph of Markdown: it begins no heading, list, quotation or definition either."""
    line = in_markdown(text.strip())
    if line.startswith("["):
        return "\\" + line
    return (
        _BEGINS_A_BLOCK.sub(r"\g<number>\\\g<sign>", line, count=1) if _BEGINS_A_BLOCK.match(line) else line
    )


def in_csv(text: str) -> str:
    """The text for a cell of CSV that a spreadsheet opens: one that would be a formula there is quoted with ``'``."""
    shown = visible(text, keep="\n\t")
    begins = text.lstrip(" ")[:1]
    is_formula = begins and begins in FORMULA_SIGNS and not _NUMBER.fullmatch(text)
    return f"'{shown}" if is_formula else shown


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in JOINERS)


def _escaped_in_markdown(found: re.Match[str]) -> str:
    character = found[0]
    return f"&#{ord(character)};" if character in _AS_ENTITY else f"\\{character}"
