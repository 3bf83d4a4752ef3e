"""Checks of arguments, output directories and environment variables, made before any work.

Each error is one line.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from slr.terminal.literal_text import visible

FAILED = 1
"""The exit status where a part of the work or the machine failed, not the input."""
BAD_INPUT = 2
"""Exit status after bad input."""

DTYPES = ("float32", "bfloat16")
"""Values that ``--dtype`` takes."""

WANDB_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
"""Values that W&B itself takes in ``WANDB_MODE``; the last two are older names."""
_DIRECTORY_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "SLR_CACHE")
_SECONDS_VARIABLES = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


def print_error(error: Exception | str) -> None:
    """Print an error on stderr, in one line that begins with "error:"."""
    print(f"error: {in_one_line(_in_words(error))}", file=sys.stderr)


def in_one_line(text: str) -> str:
    """Join the lines of a text into one, and escape whatever could steer a terminal.

    The items of a list, which stand on a line each, become parts of a sentence.
    """
    lines = [line.strip().removeprefix("- ") for line in text.splitlines()]
    joined = ""
    for line in filter(None, lines):
        between = "" if not joined else " " if joined[-1] in ":;,.-" else "; "
        joined += between + line
    return visible(joined)


def _in_words(error: Exception | str) -> str:
    if isinstance(error, OSError) and error.strerror:
        files = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(files), error.strerror]) if files else error.strerror
    return str(error) or type(error).__name__


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Make a question that ends a message; empty if no known name is similar to the given one."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_one_of(name: str, given: str, known: Collection[str]) -> None:
    """Check that a value is one of the known ones.

    Args:
        name: name of the option, for the message.
        given: the value.
        known: the known values.

    Raises:
        ValueError: if it is none of them.
    """
    if given not in known:
        raise ValueError(f"{name} is {given!r}, expected {_alternatives(known)}{did_you_mean(given, known)}")


def check_not_given(option: str, others: Mapping[str, object]) -> None:
    """Check that no option is given that does not go with another one.

    Args:
        option: the option that is given.
        others: values of the options that do not go with it, by name; None or False where one is not given.

    Raises:
        ValueError: if one of them is given.
    """
    if given := [name for name, value in others.items() if value is not None and value is not False]:
        raise ValueError(
            f"{option} and {given[0]} are given, which do not go together: leave one of them out"
        )


def _alternatives(known: Collection[str]) -> str:
    *others, last = known
    return f"{', '.join(others)} or {last}" if others else last


def check_arguments(arguments: Sequence[str]) -> None:
    """Check that every argument is valid UTF-8, because no record or page can hold another path.

    Raises:
        ValueError: if one is not.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"the argument {ascii(os.fsencode(argument))[1:]} is not UTF-8: expected a path or name in "
                "UTF-8, so rename the file"
            ) from None


def expanded(path: Path, option: str) -> Path:
    """Replace a leading ``~`` or ``~user`` by the home directory.

    Args:
        path: the path.
        option: name of the option that gives it, for the message.

    Raises:
        ValueError: if there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(
            f"{option} is {path}, and {path.parts[0]} is no user's home directory: expected a path, with ./ before "
            "a name that begins with ~"
        ) from None


def check_output_directory(directory: Path, option: str) -> None:
    """Check that nothing but a directory is at a path or on the way to it, and that it can be made.

    Args:
        directory: the path.
        option: name of the option that gives it, for the message.

    Raises:
        ValueError: if something else is there, or it cannot be made.
    """
    try:
        existing = _nearest_existing(directory)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{option} is {str(directory)!r}, which cannot be a directory: {reason}") from None
    if not existing.is_dir():
        raise ValueError(
            f"{option} is {directory}, but {existing} is no directory: expected a directory, or one that can be made"
        )
    if existing != directory and not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(
            f"{option} is {directory}, which cannot be made, because {existing} cannot be written to: expected another "
            "directory"
        )


def check_writable(directory: Path, option: str) -> None:
    """Check that files can be written to a directory, or that it can be made.

    Args:
        directory: the path.
        option: name of the option that gives it, for the message.

    Raises:
        ValueError: if it is not so.
    """
    check_output_directory(directory, option)
    if directory.exists() and not os.access(directory, os.W_OK | os.X_OK):
        raise ValueError(f"{option} is {directory}, which cannot be written to: expected another directory")


def _nearest_existing(path: Path) -> Path:
    """Find the path itself, or the nearest directory above it that exists. A broken link exists too."""
    for candidate in (path, *path.parents):
        try:
            candidate.lstat()
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            continue
        return candidate
    return Path()


def check_environment(uses_wandb: bool = False) -> None:
    """Check environment variables that libraries misread, complain about, or read too late.

    Args:
        uses_wandb: whether the W&B variables matter.

    Raises:
        ValueError: if one has a bad value.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "").strip()
    if threads and not all(_is_count(part) for part in threads.split(",")):
        raise ValueError(
            f"OMP_NUM_THREADS is {threads!r}, expected a number of threads of at least 1, such as 4: set it to one, or "
            "unset it"
        )
    for name in _SECONDS_VARIABLES:
        if (seconds := os.environ.get(name)) and not _is_count(seconds):
            raise ValueError(
                f"{name} is {seconds!r}, expected a whole number of seconds, such as 60: set it so, or unset it"
            )
    for name in _DIRECTORY_VARIABLES:
        if value := os.environ.get(name):
            option = f"the environment variable {name}"
            check_output_directory(expanded(Path(value), option), option)
    mode = os.environ.get("WANDB_MODE")
    if uses_wandb and mode:
        check_one_of("the environment variable WANDB_MODE", mode, WANDB_MODES)


def _is_count(text: str) -> bool:
    return text.strip().isdecimal() and int(text) > 0
