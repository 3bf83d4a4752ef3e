"""Text from outside, written so that it shows itself and nothing in it acts.

Text is from outside if we did not write it: samples, requests, error messages, paths, and names of models,
pairs and judges. ``visible`` is for whatever a person reads, terminals included. The other functions are for
one format each, and apply ``visible`` too. HTML needs ``html.escape`` in addition, LaTeX needs
``slr.analysis.tables.latex.escaped``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Iterable

JOINERS = "\u200c\u200d"
"""Invisible characters that are kept, because they only shape letters of Persian and Indian scripts, and emoji."""
FORMULA_SIGNS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""Characters that make a spreadsheet read a cell as a formula; the last four are full-width.

Source: OWASP, "CSV Injection".
"""

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
"""Characters written as entities, not with a backslash.

Some renderers act on them before or after they parse Markdown, where a backslash does not stop them.
"""


def visible(text: str, keep: str = "") -> str:
    r"""Write out control characters, such as ``\x1b``, ``\r`` and ``\u202e``.

    They are the ones that move a terminal's cursor, change its colours, turn the direction of text around or
    end a line.

    Args:
        text: text from outside.
        keep: control characters that stay, such as line feeds where several lines are wanted.
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
    """Escape text for a cell of a table or the inside of a line of Markdown.

    A renderer shows the text and makes no link, picture or markup of it. Ordinary words and numbers stay as
    they are, because only characters with a meaning at their place are escaped.
    """
    escaped = _MEANS_SOMETHING_IN_MARKDOWN.sub(_escaped_in_markdown, visible(text, keep="\n\t"))
    # Brackets alone mean nothing, so they are escaped only where they could make a link.
    return _BRACKET.sub(r"\\\g<0>", escaped) if _LINK.search(text) else escaped


def markdown_line(text: str) -> str:
    """Escape text for a paragraph of Markdown, so that it begins no heading, list, quotation or definition."""
    line = in_markdown(text.strip())
    if line.startswith("["):
        return "\\" + line
    return (
        _BEGINS_A_BLOCK.sub(r"\g<number>\\\g<sign>", line, count=1) if _BEGINS_A_BLOCK.match(line) else line
    )


def in_csv(text: str) -> str:
    """Escape text for a cell of CSV; a cell that a spreadsheet would take for a formula is quoted with ``'``."""
    shown = visible(text, keep="\n\t")
    begins = text.lstrip(" ")[:1]
    # A negative number begins with a sign too, but it is no formula.
    is_formula = begins and begins in FORMULA_SIGNS and not _NUMBER.fullmatch(text)
    return f"'{shown}" if is_formula else shown


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in JOINERS)


def _escaped_in_markdown(found: re.Match[str]) -> str:
    character = found[0]
    return f"&#{ord(character)};" if character in _AS_ENTITY else f"\\{character}"


def as_command(words: Iterable[str]) -> str:
    """Write a command as the shell of this operating system reads it."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
