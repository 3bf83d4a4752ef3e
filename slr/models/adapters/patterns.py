"""Match the regular expressions of an adapter's configuration in bounded time.

peft matches them with ``re``, which may backtrack without end. Here they are matched once, against the names of the
model's modules, and peft gets the names that they match.
"""

from __future__ import annotations

import re
import reprlib
import time
import warnings
from collections.abc import Sequence

import regex

MATCHING_SECONDS = 5.0
"""Time in seconds that the expressions of one adapter may take together, even with thousands of modules."""

SECONDS_FOR_A_NAME = 1.0
"""Time in seconds that one expression may take for one name. Ordinary expressions take microseconds."""

MAX_PATTERN_LENGTH = 20_000
"""Largest number of characters in an expression.

Tools that write the names of all modules into one expression stay below it.
"""

_PLAIN = re.compile(r"\^?[\w.]+", re.ASCII)


class PatternMatcher:
    """Matches expressions against names until its time is over."""

    def __init__(self, seconds: float = MATCHING_SECONDS) -> None:
        """Allow a number of seconds for all matches together."""
        self._seconds_left = seconds

    def full_matches(self, pattern: str, names: Sequence[str]) -> list[str]:
        """Find the names that the whole pattern matches, as peft matches ``target_modules`` and ``exclude_modules``.

        Raises:
            ValueError: if the pattern is no regular expression, or takes too long.
        """
        return self._matches(pattern, pattern, names)

    def suffix_matches(self, pattern: str, names: Sequence[str]) -> list[str]:
        """Find the names whose end the pattern matches, as peft matches keys of ``rank_pattern``.

        Raises:
            ValueError: as ``full_matches``.
        """
        _compile(pattern)  # compiled alone first, so that an error names the pattern as it was written
        return self._matches(rf"(.*\.)?({pattern})$", pattern, names)

    def _matches(self, expression: str, pattern: str, names: Sequence[str]) -> list[str]:
        compiled = _compile(expression, pattern)
        # There may be thousands of patterns, one for each module. A plain pattern can only match a name that ends like
        # it, and comparing ends is much faster.
        if _PLAIN.fullmatch(pattern):
            names = [name for name in names if name.endswith(pattern.rpartition(".")[2].lstrip("^"))]
        try:
            return [name for name in names if self._is_match(compiled, name)]
        except TimeoutError:
            raise ValueError(
                f"the regular expression {shortened(pattern)} takes too long to match: write the names of the "
                "modules instead"
            ) from None

    def _is_match(self, compiled: regex.Pattern[str], name: str) -> bool:
        if self._seconds_left <= 0:
            raise TimeoutError
        # The library's own limit counts processor time. On a busy machine more time passes, so it is measured here.
        began = time.monotonic()
        try:
            return compiled.fullmatch(name, timeout=min(SECONDS_FOR_A_NAME, self._seconds_left)) is not None
        finally:
            self._seconds_left -= time.monotonic() - began


def shortened(value: object) -> str:
    """Write a value for an error line, in at most 80 characters and on one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 76
    text = short.repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def _compile(expression: str, pattern: str | None = None) -> regex.Pattern[str]:
    pattern = expression if pattern is None else pattern
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(
            f"the regular expression {shortened(pattern)} has {len(pattern)} characters, more than "
            f"{MAX_PATTERN_LENGTH}: write the names of the modules instead"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(expression)  # peft uses this library, which knows less than regex does
            return regex.compile(expression)
    except (re.error, regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"{shortened(pattern)} is no valid regular expression ({error})") from None
