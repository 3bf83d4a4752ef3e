"""Packages that importlib.metadata finds on a directory of ``sys.path``, as pip would leave them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path


def install(directory: Path, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write what pip writes of a package: its name, version and entry points, by group and name."""
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")


def install_project(directory: Path) -> None:
    """Install a project where it lies, by its pyproject.toml."""
    project = tomllib.loads((directory / "pyproject.toml").read_text("utf-8"))["project"]
    install(directory, project["name"], project["version"], project["entry-points"])
