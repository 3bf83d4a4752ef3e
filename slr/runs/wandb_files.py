"""Where W&B writes, whether it may, and with which account."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from slr.runs.modes import WandbMode

SPARE_BYTES = 2**16
"""Number of bytes that must still fit on the disk: on top of a run's known size before it, and at its end."""

OFFLINE_INSTEAD = "Or choose offline, and send the runs later with `wandb sync`"


def check_account(mode: WandbMode, output_dir: Path) -> None:
    """Check the W&B account before any work is done for it; do nothing unless the mode is ``online``.

    Raises:
        ValueError: if W&B knows no key, or the server refuses it or cannot be reached.
    """
    if mode != "online":
        return
    import wandb

    try:
        with wandb_files_below(output_dir, mode):
            log_in()
            # Its helper process would be in the way of others that use W&B, and of the end of this one.
            wandb.teardown()
    except ValueError as error:
        with suppress(OSError):  # a refused run leaves no directories behind, unless they hold earlier runs
            for directory in ("wandb/staging", "wandb"):
                (output_dir / directory).rmdir()
        raise ValueError(f"{error}. {OFFLINE_INSTEAD}") from None


def log_in() -> None:
    """Log in with the account that W&B knows, without a question to the user.

    Raises:
        ValueError: if W&B knows no key, or the server refuses it or cannot be reached.
    """
    import wandb

    try:
        known = wandb.login(prompt=False)
    except wandb.Error as error:
        raise ValueError(f"W&B cannot be used online: {error}") from None
    if not known:
        raise ValueError("W&B knows no account: run `wandb login` first")


class DiskError(OSError):
    """The disk has no room for what is to be written, or does not allow it."""


def check_takes(directory: Path, num_bytes: int) -> None:
    """Write that number of bytes into the directory and remove them again.

    W&B ignores a full disk, so this is the only way to notice one.

    Raises:
        DiskError: if the disk does not take the bytes.
    """
    probe = directory / ".probe"
    try:
        # Free space as the system reports it is no guide, because quotas and compression are not in it.
        with probe.open("wb") as file:
            for _ in range(0, num_bytes, SPARE_BYTES):
                file.write(bytes(SPARE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DiskError(f"the mirror for W&B cannot be written to {directory}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


@contextmanager
def wandb_files_below(output_dir: Path, mode: Literal["offline", "online"]) -> Generator[None]:
    """Make W&B write below ``output_dir/wandb`` instead of the user's home directory.

    Raises:
        DiskError: if the directory cannot be made.
    """
    directory = (output_dir / "wandb").resolve()
    staging = directory / "staging"
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"the mirror for W&B cannot be written to {directory}: {error.strerror}") from error
    # W&B logs to files here until the process ends. If they cannot be written, logging would print a traceback a line.
    logging.raiseExceptions = False
    variables = {
        "WANDB_DIR": str(directory.parent),
        "WANDB_DATA_DIR": str(staging),
        "WANDB_CACHE_DIR": str(staging),
        "WANDB_ARTIFACT_DIR": str(staging),
    }
    if mode == "offline":  # online, W&B needs the user's settings, which may name a server and a team
        variables["WANDB_CONFIG_DIR"] = str(staging)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _restore_environment(before)


def _restore_environment(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
