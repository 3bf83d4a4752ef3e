"""Optional dependencies: which extra of the project installs a package, and one line if it is missing."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA_OF = {
    "lm_eval": "experiments",
    "wandb": "experiments",
    "openai": "judge",
    "wandb_workspaces": "dashboard",
}
"""Name of the extra that installs each package that ``pip install .`` alone does not."""


def check_installed(package: str, what_needs_it: str) -> None:
    """Check that an optional package is installed.

    Args:
        package: name by which it is imported, a key of ``EXTRA_OF``.
        what_needs_it: what the user asked for; the message begins with it.

    Raises:
        ValueError: if it is not; the message has the command that installs it.
    """
    try:
        is_there = find_spec(package) is not None
    # A finder raises one of these, or something stands in sys.modules in the package's place.
    except (ImportError, ValueError):
        is_there = False
    if not is_there:
        raise ValueError(f"{what_needs_it} needs {_how_to_install(package)}")


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Say how to install a package that an import did not find; None if no extra installs it."""
    package = (error.name or "").split(".")[0]
    return f"this needs {_how_to_install(package)}" if package in EXTRA_OF else None


def _how_to_install(package: str) -> str:
    extra = EXTRA_OF[package]
    return f"the package {package}, which is not installed: run pip install '.[{extra}]' in the project's directory"
