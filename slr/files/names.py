"""Which names from outside may become the name of a file or directory."""

from __future__ import annotations

import re

from slr.terminal.literal_text import visible

MAX_BYTES = 200
"""Largest number of bytes of a name. File systems take 255, and a suffix may be added."""

_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.IGNORECASE | re.DOTALL)
"""Pattern of names that Windows takes for a device, whatever their suffix."""
_DRIVE = re.compile(r"[A-Za-z]:")


def check_file_name(name: str, what: str) -> str:
    """Check that a file or directory of a given name lies where it is put.

    Args:
        name: one part of a path.
        what: what has the name, for the message.

    Returns:
        The name.

    Raises:
        ValueError: if it could lie elsewhere, be taken for something else, or not be made.
    """
    if problem := _problem_with(name):
        raise ValueError(
            f"{what} is {visible(name[:MAX_BYTES])!r}, which {problem}: expected a name that can be a file's"
        )
    return name


def _problem_with(name: str) -> str | None:
    problems = {
        "is empty": not name.strip(),
        "leads to another directory": name in (".", "..") or "/" in name or "\\" in name,
        "begins with a drive": _DRIVE.match(name),
        "has control characters": visible(name) != name,
        "begins with a dash, as options do": name.startswith("-"),
        "begins or ends with a space, or ends with a dot": name != name.strip() or name.endswith("."),
        "is a device's on Windows": _DEVICE.fullmatch(name),
        f"is longer than {MAX_BYTES} bytes": len(name.encode("utf-8", "surrogatepass")) > MAX_BYTES,
    }
    return next((problem for problem, applies in problems.items() if applies), None)
