"""``slr`` as on Windows or macOS: ``python on_another_system.py win32|darwin COMMANDS``.

COMMANDS is a list of lists of arguments, as JSON. They run one after the other, as long as they succeed, and what they
print is written as a list in JSON. A search takes 4 prompts and 3 soups. What the other system lacks is taken away from
this one. That happens after other packages are imported, because the ones here are made for Linux.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import types
from contextlib import redirect_stdout
from typing import Any

PACKAGES = (
    "accelerate",
    "huggingface_hub",
    "jinja2",
    "matplotlib.pyplot",
    "peft",
    "psutil",
    "pydantic",
    "rich.console",
    "scipy.stats",
    "torch",
    "transformers",
    "typer",
)
NOT_ON_MACOS = {
    "os": "copy_file_range posix_fadvise sched_getaffinity sched_setaffinity memfd_create splice pidfd_open",
    "signal": "sigtimedwait sigwaitinfo",
}
NOT_ON_WINDOWS = {
    "os": "fork forkpty fchmod fchown chown chroot getuid geteuid getgid getegid getgroups getpgid setsid setpgid "
    "killpg nice sysconf pathconf statvfs fstatvfs sync fdatasync mkfifo mknod uname wait wait3 wait4 "
    "register_at_fork getloadavg getpriority preadv pwritev pread pwrite sendfile posix_spawn set_blocking "
    "get_blocking ttyname openpty sched_yield WNOHANG WIFEXITED",
    "signal": "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE alarm setitimer pthread_sigmask sigwait pause",
    "select": "poll epoll",
}
MODULES_NOT_ON_WINDOWS = ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog")
MODULES = {"os": os, "signal": signal, "select": select}


def take_away(names: dict[str, str]) -> None:
    for module, lacking in names.items():
        for name in lacking.split():
            if hasattr(MODULES[module], name):
                delattr(MODULES[module], name)


def windows_locks() -> types.ModuleType:
    """``msvcrt.locking`` by this system's locks: one byte, at once or not at all."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    def locking(file: int, mode: int, num_bytes: int) -> None:
        assert (mode, num_bytes) == (2, 1)
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    module = types.ModuleType("msvcrt")
    module.__dict__.update(locking=locking, LK_NBLCK=2)
    return module


def allow_pipes_that_wait() -> None:
    """On Windows, unlike here, a pipe that tells of signals may be one that waits."""
    set_blocking, set_wakeup_fd = os.set_blocking, signal.set_wakeup_fd

    def double(file: int, *, warn_on_full_buffer: bool = True) -> int:
        if file != -1:
            set_blocking(file, False)
        return set_wakeup_fd(file, warn_on_full_buffer=warn_on_full_buffer)

    signal.set_wakeup_fd = double


def main() -> int:
    system, commands = sys.argv[1:]
    for package in PACKAGES:
        importlib.import_module(package)
    take_away(NOT_ON_MACOS)
    if system == "win32":
        sys.modules["msvcrt"] = windows_locks()
        allow_pipes_that_wait()
        # Python's own modules work as on this system.
        shutil.__dict__["os"] = types.SimpleNamespace(**vars(os))
        subprocess.__dict__.update(signal=types.SimpleNamespace(**vars(signal)), os=shutil.__dict__["os"])
        take_away(NOT_ON_WINDOWS)
        missing: Any = dict.fromkeys(MODULES_NOT_ON_WINDOWS)
        sys.modules.update(missing)  # importing one of them fails
    sys.platform = system
    from slr import cli
    from slr.crc import study

    study.FULL = study.SMOKE
    printed: list[str] = []
    status = 0
    for command in json.loads(commands):
        with redirect_stdout(io.StringIO()) as output:
            status = cli.main(command)
        printed.append(output.getvalue())
        if status != 0:
            break
    print(json.dumps(printed))
    return status


if __name__ == "__main__":
    sys.exit(main())
