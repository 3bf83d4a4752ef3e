"""Provenance of results: code, settings and device, without the name or paths of the machine."""

from __future__ import annotations

import hashlib
import json
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
"""Packages whose versions a record names."""


def provenance(cell: str, config_hash: str, device: str) -> Provenance:
    """Describe where a record comes from that is made now.

    Args:
        cell: key of the cell that makes the record.
        config_hash: hash of its configuration, from ``config_hash``.
        device: device in words, from ``describe_device``.
    """
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
    """Hash a configuration and a dtype.

    Args:
        config: a dataclass whose fields JSON can hold.
        dtype: name of the dtype.
        without: names of fields that do not count.

    Returns:
        The first 12 hexadecimal digits of the SHA-256 of both as canonical JSON.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in without}
    # Sorted keys make the hash independent of the order in which the fields are declared.
    content = {"config": settings, "dtype": dtype}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def describe_device(device: str) -> str:
    """Describe a device in words: the GPU's name, or the CPU with its number of threads."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    if torch.device(device).type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads"
    return device


def peak_memory_bytes(device: str) -> int:
    """Peak memory so far in bytes: of tensors on a GPU, and of this whole process on a CPU."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_memory_of_process()


def _peak_memory_of_process() -> int:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such module
        import psutil

        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak_memory(device: str) -> None:
    """Make ``peak_memory_bytes`` of a GPU count from now on; the peak of a process cannot be reset."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


@cache
def _code_version() -> tuple[str, bool | None]:
    """Find the commit of the checkout that has this package, and whether its code has uncommitted changes."""
    here = Path(__file__).parent
    try:
        # This fails for an installed package, even if its virtual environment is inside some other checkout.
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
    """Find the version of a package; None if it is not installed, for example slr in a plain checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _versions() -> dict[str, str]:
    return {package: installed_version(package) or "unknown" for package in PACKAGES}
