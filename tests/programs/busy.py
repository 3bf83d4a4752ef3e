"""A command that is hard to interrupt: ``python busy.py HOW PID_FILE``; ``work`` knows the ways."""

from __future__ import annotations

import atexit
import hashlib
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from slr.terminal.stopping import run_child, run_until_stopped


def swallow() -> None:
    """As a library may that catches everything."""
    while True:
        with suppress(BaseException):
            time.sleep(60)


def work(how: str, begun: Path) -> int:
    """Say that it has begun by writing a file, then go on for minutes."""
    if how == "child":
        script = (
            "import os, pathlib, sys, time; from slr.terminal.stopping import die_with_parent; die_with_parent(); "
            "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(300)"
        )
        return run_child([sys.executable, "-c", script, str(begun)])
    if how == "exiting":  # as a library may that has something to finish
        atexit.register(lambda: (begun.write_text("begun", encoding="utf-8"), time.sleep(300)))
        return 0
    begun.write_text("begun", encoding="utf-8")
    if how == "swallowing":
        swallow()
    if how == "swallowing once":
        with suppress(BaseException):
            time.sleep(300)
        return 0
    if how == "computing":  # one call of C, in which no handler runs
        hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)
    try:
        time.sleep(300)
    finally:
        begun.write_text("cleaned", encoding="utf-8")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    sys.exit(run_until_stopped(lambda: work(sys.argv[1], Path(sys.argv[2])), "go on"))
