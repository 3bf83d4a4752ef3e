"""One run at a time on an output directory, by a lock that the operating system frees with the process.

    OUTPUT_DIR/.slr.lock    there while a run holds it, with its process and host. After a kill it stays, unlocked

A run of several launched processes has one lock, which its main process holds. Reading needs none. While a run holds
the directory, it also notices that the directory was removed, because records written from then on would lie in
another one of the same name, without the earlier ones.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slr.runs.processes import ALONE, Processes

LOCK_FILE = ".slr.lock"

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system without locks answers."""
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_WINDOWS_LOCK_OFFSET = 2**30
"""Beyond the file's content, which others must be able to read."""


class OutputInUseError(ValueError):
    """Another run is using the output directory."""


@dataclass(frozen=True)
class _Held:
    """A directory in use by this process. ``directory_fd`` stays open, so that no other one gets its number."""

    directory_fd: int | None
    lock: IO[str] | None
    created: tuple[Path, ...]


_held: dict[Path, _Held] = {}
"""By resolved path; a run within the run that holds the directory needs no lock of its own."""


@contextmanager
def output_lock(output_dir: Path, processes: Processes = ALONE) -> Iterator[None]:
    """Hold the directory, which is made if it is not there, and removed at the end if nothing was put into it.

    Raises:
        OutputInUseError: if another run holds it.
        OSError: if it cannot be made. One that is there but cannot be written needs no lock.
    """
    path = output_dir.resolve()
    if path in _held:
        yield
        return
    created: tuple[Path, ...] = ()
    lock = None
    if processes.is_main:
        created = _make_directories(path)
        try:
            lock = _lock(output_dir)
        except BaseException:
            _remove_empty(created)
            raise
    processes.wait_for_everyone()
    _held[path] = _Held(_open_directory(path), lock, created)
    try:
        yield
    finally:
        _release(path)


def check_still_there(output_dir: Path) -> None:
    """Raise ``OSError`` if a directory that this process holds was removed, or replaced by another one."""
    held = _held.get(output_dir.resolve())
    if held is None or held.directory_fd is None:
        return
    try:
        is_same = os.path.samestat(output_dir.stat(), os.fstat(held.directory_fd))
    except FileNotFoundError:
        is_same = False
    if not is_same:
        raise OSError(
            f"{output_dir} was removed or replaced during the run, and the records in it are lost: "
            "give the same command again to start anew"
        )


def _make_directories(path: Path) -> tuple[Path, ...]:
    """Those that were not there, the innermost first."""
    missing = tuple(parent for parent in (path, *path.parents) if not parent.exists())
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the output directory {path} cannot be made: {error.strerror}") from error
    return missing


def _lock(output_dir: Path) -> IO[str] | None:
    """The locked file; None, perhaps after a note, where there can be no lock."""
    path = output_dir / LOCK_FILE
    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            if error.errno in _NOT_WRITABLE:
                return None
            raise OSError(f"{output_dir} cannot be written to: {error.strerror}") from error
        try:
            is_locked = _try_to_lock(file)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            file.close()
            path.unlink(missing_ok=True)
            print(
                f"note: the file system of {output_dir} has no locks ({error.strerror}): see to it yourself that only "
                "one run uses the directory",
                file=sys.stderr,
            )
            return None
        if not is_locked:
            with file:
                raise OutputInUseError(
                    f"{output_dir} is in use by {_holder(file)}: wait until that run has ended, or give another "
                    "--output-dir"
                )
        if _is_file_at(path, file):  # and not one that another run has just removed
            _write_holder(file)
            if hasattr(
                os, "register_at_fork"
            ):  # a forked child would keep the lock after this process was killed
                os.register_at_fork(after_in_child=file.close)
            return file
        file.close()


def _try_to_lock(file: IO[str]) -> bool:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file.fileno(), _WINDOWS_LOCK_OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _write_holder(file: IO[str]) -> None:
    with suppress(OSError):  # a full disk, of which the first record tells
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['process']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):  # it has only just begun
        return "another process"


def _open_directory(path: Path) -> int | None:
    """None on Windows, where a directory with an open file cannot be removed."""
    try:
        return None if sys.platform == "win32" else os.open(path, os.O_RDONLY)
    except OSError:  # another process of this run made it, and this machine does not see it yet
        return None


def _release(path: Path) -> None:
    held = _held.pop(path)
    if held.directory_fd is not None:
        os.close(held.directory_fd)
    if held.lock is not None:
        if _is_file_at(path / LOCK_FILE, held.lock):
            with suppress(OSError):
                (path / LOCK_FILE).unlink()
        with suppress(OSError):  # what could not be written before
            held.lock.close()
    _remove_empty(held.created)


def _remove_empty(created: tuple[Path, ...]) -> None:
    with suppress(OSError):
        for directory in created:
            directory.rmdir()
