"""Where results come from: code, settings and machine, without the machine's name or paths."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from slr.runs.records import Provenance

PACKAGES = ("slr", "torch", "transformers", "numpy")


def provenance(cell: str, config_hash: str, device: str) -> Provenance:
    """Provenance of a record that is made now by the cell of that key, on a device in words."""
    commit, dirty = _code_version()
    return Provenance(
        cell=cell,
        config_hash=config_hash,
        commit=commit,
        dirty=dirty,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device,
        versions=_versions(),
    )


def config_hash(config: Any, dtype: str, without: Collection[str] = ()) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a dataclass and a dtype, as canonical JSON.

    ``without`` names fields of the dataclass that do not count.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in without}
    content = {"config": settings, "dtype": dtype}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def describe_device(device: str) -> str:
    """A device in words: the accelerator's name, or the CPU with its number of threads."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    if torch.device(device).type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads"
    return device


def peak_memory_bytes(device: str) -> int:
    """The most memory used so far: on an accelerator by tensors, on the CPU by this process in all."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak_memory(device: str) -> None:
    """Have ``peak_memory_bytes`` of an accelerator count from now on; a process's own cannot be reset."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


@cache
def _code_version() -> tuple[str, bool | None]:
    """Commit of the checkout that the package is in, and whether its code has changes."""
    here = Path(__file__).parent
    try:
        # Fails for an installed package whose virtual environment lies in some other checkout.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        changes = _git(here, "status", "--porcelain", ":/slr", ":/experiments")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None
    return commit, bool(changes)


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, errors="replace", check=True
    )
    return done.stdout.strip()


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed, as slr is not in a mere checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _versions() -> dict[str, str]:
    return {package: installed_version(package) or "unknown" for package in PACKAGES}
