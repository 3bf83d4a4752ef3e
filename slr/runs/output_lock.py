"""A lock that lets one run at a time use an output directory.

    OUTPUT_DIR/.slr.lock    exists while a run holds the lock, and names the run's process and host

The operating system frees the lock when the process ends. After a kill the file stays, but it is not locked.

The main process holds the lock for all launched processes of a run. Reading records needs no lock. A run that
holds the directory also notices when it is removed. Records written after that would lie in a new directory of
the same name, without the earlier ones.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slr.runs.processes import ALONE, Processes

LOCK_FILE = ".slr.lock"

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Error numbers of a file system that has no locks."""
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_WINDOWS_LOCK_OFFSET = 2**30
"""Offset of the locked byte. It is behind the file's content, because Windows lets nobody else read locked bytes."""


class OutputInUseError(ValueError):
    """Another run is using the output directory."""


@dataclass(frozen=True)
class _Held:
    """A directory that this process holds.

    Attributes:
        directory_fd: descriptor of the directory. It stays open, so that no other directory gets its inode number.
        lock: the locked file; None if this process needs no lock or cannot have one.
        created: directories that were made for this run, the innermost first.
    """

    directory_fd: int | None
    lock: IO[str] | None
    created: tuple[Path, ...]


_held: dict[Path, _Held] = {}
"""Directories that this process holds, by resolved path. A run inside such a run needs no lock of its own."""


@contextmanager
def output_lock(output_dir: Path, processes: Processes = ALONE) -> Generator[None]:
    """Hold an output directory.

    The directory is made if it does not exist, and removed at the end if it is still empty. A directory that exists
    but cannot be written needs no lock.

    Args:
        output_dir: directory to hold.
        processes: launched processes that share the run; the main one takes the lock.

    Raises:
        OutputInUseError: if another run holds the directory.
        OSError: if the directory cannot be made.
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
    # The other processes open the directory, so the main process must have made it before.
    processes.wait_for_everyone()
    _held[path] = _Held(_open_directory(path), lock, created)
    try:
        yield
    finally:
        _release(path)


def check_still_there(output_dir: Path) -> None:
    """Check that a directory that this process holds is still the same one.

    Raises:
        OSError: if it was removed or replaced by another one.
    """
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
    """Make a directory with its parents, and return the ones that did not exist, the innermost first.

    Raises:
        OSError: if it cannot be made.
    """
    missing = tuple(parent for parent in (path, *path.parents) if not parent.exists())
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the output directory {path} cannot be made: {error.strerror}") from error
    return missing


def _lock(output_dir: Path) -> IO[str] | None:
    """Lock a directory.

    Returns:
        The locked file. None if the directory cannot be written or, after a note, if the file system has no locks.

    Raises:
        OutputInUseError: if another run holds the lock.
        OSError: if the file cannot be written.
    """
    path = output_dir / LOCK_FILE
    # Another run may remove its file between our opening and our locking of it. Then we try again with a new file.
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
                f"note: the file system of {output_dir} has no locks ({error.strerror}): make sure yourself that only "
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
        if _is_file_at(path, file):
            _write_holder(file)
            # Without this, a forked child would keep the lock after this process was killed.
            if hasattr(os, "register_at_fork"):
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
    # The disk may be full. The first record will report that.
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['process']} on {holder['host']}"
    # The holder has only just begun, and has not written its name yet.
    except (ValueError, KeyError, TypeError):
        return "another process"


def _open_directory(path: Path) -> int | None:
    """Open a directory; None on Windows, where nobody can remove a directory with an open file."""
    try:
        return None if sys.platform == "win32" else os.open(path, os.O_RDONLY)
    # The main process made the directory on another machine, and this machine does not see it yet.
    except OSError:
        return None


def _release(path: Path) -> None:
    held = _held.pop(path)
    if held.directory_fd is not None:
        os.close(held.directory_fd)
    if held.lock is not None:
        # The file is removed while it is still locked, so that no run can lock a file that is about to go.
        if _is_file_at(path / LOCK_FILE, held.lock):
            with suppress(OSError):
                (path / LOCK_FILE).unlink()
        # Closing tries once more to write what a full disk did not take.
        with suppress(OSError):
            held.lock.close()
        # Windows removes no open file. Where another run has opened it meanwhile, this fails too, as it should.
        if sys.platform == "win32":
            with suppress(OSError):
                (path / LOCK_FILE).unlink()
    _remove_empty(held.created)


def _remove_empty(created: tuple[Path, ...]) -> None:
    with suppress(OSError):
        for directory in created:
            directory.rmdir()
