"""Notices: what a command says on stderr besides errors, such as notes and progress.

``--quiet`` silences them, and ``--verbose`` adds details.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

from slr.terminal.literal_text import visible

Verbosity = Literal["quiet", "normal", "verbose"]

_current: list[Verbosity] = ["normal"]


def set_verbosity(quiet: bool, verbose: bool) -> None:
    """Set how much this command says.

    Raises:
        ValueError: if it should say both less and more.
    """
    if quiet and verbose:
        raise ValueError("--quiet and --verbose are both given: expected one of them")
    _current[0] = "quiet" if quiet else "verbose" if verbose else "normal"
    if verbose:
        # Only our own messages become detailed. Libraries would print hundreds of lines.
        logging.basicConfig()
    logging.getLogger("slr").setLevel(logging.DEBUG if verbose else logging.NOTSET)


def is_quiet() -> bool:
    """Whether notices and progress are silenced."""
    return _current[0] == "quiet"


def is_verbose() -> bool:
    """Whether details are wanted."""
    return _current[0] == "verbose"


def notice(line: str) -> None:
    """Print a line on stderr at once, unless the command is quiet."""
    if not is_quiet():
        print(visible(line), file=sys.stderr, flush=True)


def sign_of_life(line: str) -> None:
    """Print a line on a terminal, before seconds in which nothing else is seen. Nobody waits in front of a log."""
    if sys.stderr.isatty():
        notice(line)
