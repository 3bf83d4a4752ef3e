"""How every command line of this project reads its options, reports a mistake, and ends.

The exit status is

    0    everything is done
    1    a part of the work failed, or the machine did, for example because the disk is full
    2    the input is bad, or another run uses the output directory
    130  Ctrl-C
    143  SIGTERM

A mistake of the user gives one line on stderr that begins with "error:", and never a traceback.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, TextIO, cast

import typer

from slr.terminal.bad_input import (
    BAD_INPUT,
    FAILED,
    check_arguments,
    check_environment,
    check_one_of,
    print_error,
)
from slr.terminal.extras import missing_extra
from slr.terminal.stopping import run_until_stopped

STOPPED = 130
"""Exit status after Ctrl-C, the same as in shells."""
CLICK_EXCEPTION = cast(
    "type[typer.BadParameter]",
    next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)
"""Class that typer raises for wrong options. It depends on typer's version where its copy of click is."""

NOTHING_IS_KEPT = "nothing is kept, the same command measures anew"
"""Sentence that a measurement without records prints when it is stopped."""


def make_app(name: str | None = None, description: str | None = None) -> typer.Typer:
    """Make a command line in the project's style: plain help, and no typer traceback.

    Only a command with a name can be completed in a shell.
    """
    return typer.Typer(
        name=name,
        help=description,
        add_completion=name is not None,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_app(
    app: typer.Typer, arguments: Sequence[str], how_to_go_on: str = "give the same command again"
) -> int:
    """Run a command line and return its exit status, which the module's docstring lists.

    Args:
        app: the commands. Each returns its exit status, or None where it is 0.
        arguments: the command line without the program's name.
        how_to_go_on: sentence to print after Ctrl-C or SIGTERM, unless the command replaces it by
            ``say_when_stopped``.
    """
    # Models write any character. One that the encoding of a pipe lacks is shown by its number.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return run_until_stopped(lambda: _run(app, arguments), how_to_go_on)


def run_function(
    function: Callable[..., int | None],
    arguments: Sequence[str] | None,
    description: str | None,
    how_to_go_on: str = NOTHING_IS_KEPT,
) -> int:
    """Run a script whose only command is a function, and return the exit status.

    Args:
        function: the command; its parameters are the options, annotated for typer.
        arguments: the command line without the program's name; by default the process's.
        description: first lines of the help.
        how_to_go_on: sentence to print after Ctrl-C or SIGTERM.
    """
    app = make_app()
    app.command(help=description)(function)
    return run_app(app, sys.argv[1:] if arguments is None else arguments, how_to_go_on)


def one_of(known: Collection[str]) -> Callable[[str], Any]:
    """Make a parser of an option that accepts the known names only; a wrong name gets a suggestion."""

    def name(given: str) -> str:
        try:
            check_one_of("it", given, known)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        return given

    return name


def beginning_with(known: Collection[str]) -> Callable[[str], list[str]]:
    """Make a function by which a shell completes a known name."""
    return lambda incomplete: [name for name in known if name.startswith(incomplete)]


def number(text: str) -> float:
    """Parse an option that takes a number.

    Raises:
        BadParameter: if it is not a number.
    """
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"it is {text!r}, expected a number") from None


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Parse the value of an option that takes numbers separated by commas, and sort them.

    Args:
        text: the value.
        option: name of the option, for the message.

    Raises:
        ValueError: if it holds anything else.
    """
    try:
        return tuple(sorted(float(part) for part in text.split(",")))
    except ValueError:
        raise ValueError(f"{option} is {text!r}, expected numbers with commas between them") from None


def whole_numbers(text: str, option: str, at_least: int = 1) -> list[int]:
    """Parse the value of an option that takes numbers separated by commas.

    Args:
        text: the value.
        option: name of the option, for the message.
        at_least: smallest allowed number.

    Raises:
        ValueError: if it holds anything else, or a smaller number.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= at_least for part in parts):
        raise ValueError(
            f"{option} is {text!r}, expected whole numbers of at least {at_least}, separated by commas"
        )
    return [int(part) for part in parts]


def _run(app: typer.Typer, arguments: Sequence[str]) -> int:
    output = sys.stdout
    try:
        check_arguments(arguments)
        check_environment()
        status: Any = app(args=list(arguments), prog_name=app.info.name, standalone_mode=False)
    except CLICK_EXCEPTION as error:
        context = getattr(error, "ctx", None)
        command = f" (see {context.command_path} --help)" if context else ""
        print_error(f"{error.format_message()}{command}")
        return BAD_INPUT
    except ModuleNotFoundError as error:
        if (words := missing_extra(error)) is None:
            raise
        print_error(words)
        return BAD_INPUT
    except ValueError as error:
        print_error(error)
        return BAD_INPUT
    except OSError as error:
        print_error(error)
        # Only what the user names can be too long for the file system.
        return BAD_INPUT if error.errno == errno.ENAMETOOLONG else FAILED
    except SystemExit:
        # typer ends so where a pipe is closed. Only if it is the output's pipe, nobody wants to read on.
        if sys.stdout is output or not _is_closed(output, "\n"):
            raise
        return 0
    # typer turns Ctrl-C into this status, but the caller handles the exception.
    if status == STOPPED:
        raise KeyboardInterrupt
    # What is still in the buffer would otherwise be written at the very end, where Python reports a closed pipe.
    if _is_closed(output):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return status or 0


def _is_closed(output: TextIO, more: str = "") -> bool:
    """Write what is in the buffer and more, and say whether the reader has gone, as ``head`` does after its lines."""
    try:
        print(more, end="", file=output, flush=True)
    except BrokenPipeError:
        return True
    return False
