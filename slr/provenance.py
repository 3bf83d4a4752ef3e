"""Where results come from: code, settings and machine, without the machine's name or paths."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from slr.records import Provenance

PACKAGES = ("slr", "torch", "transformers", "numpy")


def provenance(cell: str, config: Any, device: str) -> Provenance:
    """Provenance of a record that is made now by the cell of that key."""
    commit, dirty = _code_version()
    return Provenance(
        cell=cell,
        config_hash=config_hash(config),
        commit=commit,
        dirty=dirty,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device,
        versions=_versions(),
    )


def config_hash(config: Any) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a dataclass, written as canonical JSON."""
    text = json.dumps(asdict(config), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def describe_device(device: str) -> str:
    """A device in words: the accelerator's name, or the CPU with its number of threads."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    if torch.device(device).type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads"
    return device


@cache
def _code_version() -> tuple[str, bool]:
    """Commit of the checkout that the package is in and whether it has changes; else "unknown"."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        inside = _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        changes = _git(here, "status", "--porcelain", "--untracked-files=no", ":/slr", ":/experiments")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    assert inside
    return commit, bool(changes)


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@cache
def _versions() -> dict[str, str]:
    return {package: metadata.version(package) for package in PACKAGES}
