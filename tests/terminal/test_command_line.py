"""Every command line ends with one of five statuses, and says what is wrong in one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import pytest
import typer

from slr.terminal.command_line import number, one_of, run_function
from slr.terminal.stopping import Stopped, say_when_stopped


def run(function: Callable[..., int | None], *arguments: str) -> int:
    return run_function(function, arguments, "What the command is for.", "go on")


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (ValueError("it is 3,\nexpected 4"), 2, "error: it is 3, expected 4\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out"), 1, "error: out: No space left on device\n"),
        (ModuleNotFoundError("no", name="lm_eval.tasks"), 2, "pip install '.[experiments]'"),
        (KeyboardInterrupt(), 130, "stopped; go on"),
        (Stopped(signal.SIGTERM), 143, "stopped; go on"),
    ],
)
def test_what_a_command_raises_gives_its_status(
    raised: BaseException, status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise raised

    assert run(command) == status
    assert said in capfd.readouterr().err


def test_an_error_of_ours_is_no_mistake_of_the_user() -> None:
    def broken() -> int:
        raise ModuleNotFoundError("no", name="slr.no_such_module")

    with pytest.raises(ModuleNotFoundError):
        run(broken)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_what_a_command_returns_is_its_status(returned: int | None, status: int) -> None:
    assert run(lambda: returned) == status


def test_a_command_may_say_later_how_to_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        say_when_stopped("all is in out/")
        raise KeyboardInterrupt

    assert run(command) == 130
    assert capfd.readouterr().err == "\nstopped; all is in out/\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--colour", "gren"], "'--colour': it is 'gren', expected green or red; did you mean 'green'?"),
        (["--share", "half"], "'--share': it is 'half', expected a number"),
        (["--shar", "1"], "--shar"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: Sequence[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(
        colour: Annotated[str, typer.Option(parser=one_of(("green", "red")))] = "red",
        share: Annotated[float, typer.Option(parser=number)] = 1.0,
    ) -> None:
        raise AssertionError(f"called with {colour} and {share}")

    assert run(command, *arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_help_shows_the_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: 1, "--help") == 0
    assert "What the command is for." in capsys.readouterr().out


@pytest.mark.parametrize("rows", [3, 5000])
def test_a_reader_that_has_enough_is_no_error(rows: int) -> None:
    """Whether the output is still in a buffer at the end, or too long for the pipe."""
    code = (
        "import sys, time\n"
        "from slr.terminal.command_line import run_function\n"
        "from slr.terminal.tables import print_table\n"
        "def command():\n"
        "    print('first', flush=True)\n"
        "    sys.stdin.read()\n"
        f"    print_table(('a', 'b'), [('x' * 50, 1)] * {rows})\n"
        "raise SystemExit(run_function(command, [], 'what it is for'))"
    )
    reading = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert reading.stdin is not None
    assert reading.stdout is not None
    assert reading.stdout.readline() == b"first\n"
    reading.stdout.close()
    reading.stdin.close()
    assert reading.wait(60) == 0
    assert reading.stderr is not None
    assert reading.stderr.read() == b""
