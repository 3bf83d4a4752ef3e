"""Optional dependencies: which extra of the project brings a package, and one line where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA_OF = {
    "lm_eval": "experiments",
    "wandb": "experiments",
    "openai": "judge",
    "wandb_workspaces": "dashboard",
}
"""The extra that installs each package that ``pip install .`` alone does not."""


def check_installed(package: str, what_needs_it: str) -> None:
    """Raise ``ValueError`` with the command that installs a package, if it is not installed.

    Args:
        package: the name by which it is imported, a key of ``EXTRA_OF``.
        what_needs_it: what the user asked for, which begins the message.
    """
    try:
        is_there = find_spec(package) is not None
    except (
        ImportError,
        ValueError,
    ):  # a finder, or what stands in sys.modules in its place, says that it is not there
        is_there = False
    if not is_there:
        raise ValueError(f"{what_needs_it} needs {_how_to_install(package)}")


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Say how to install what an import did not find; None if no extra brings it."""
    package = (error.name or "").split(".")[0]
    return f"this needs {_how_to_install(package)}" if package in EXTRA_OF else None


def _how_to_install(package: str) -> str:
    extra = EXTRA_OF[package]
    return f"the package {package}, which is not installed: run pip install '.[{extra}]' in the project's directory"
