"""What other packages add to slr: metrics, tasks, CRC scorers and trackers, found by their entry points.

A package names what it adds in its own pyproject.toml, in a group such as ``slr.metrics``; docs/extending.md has a
worked example. Nothing is loaded before a command names it, so a broken package disturbs no other run. What slr has
itself is written in the same form in ``OWN``, and other packages cannot replace it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Literal, TypeVar

from slr.terminal.bad_input import did_you_mean

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Group = Literal["slr.metrics", "slr.tasks", "slr.scorers", "slr.trackers"]
"""Group of entry points."""

SINGULAR: Mapping[Group, str] = {
    "slr.metrics": "metric",
    "slr.tasks": "task",
    "slr.scorers": "scorer",
    "slr.trackers": "tracker",
}
"""What one entry point of each group is called."""

OWN: Mapping[Group, Mapping[str, str]] = {
    "slr.metrics": {},
    "slr.tasks": {
        "creative_writing": "slr.downstream.writing_metrics:CREATIVE_WRITING",
        "open_qa": "slr.downstream.prompt_metrics:OPEN_QA",
        "reasoning": "slr.downstream.prompt_metrics:REASONING",
    },
    "slr.scorers": {"entropy": "slr.crc.scorer:ENTROPY"},
    "slr.trackers": {},
}
"""What slr has itself: by group and name, the module and the object in it."""


OWN_PACKAGE = "slr"
"""``Plugin.package`` of what slr has itself, whose versions are in ``slr.runs.measure_versions``."""


_NAME = re.compile("[a-z][a-z0-9_]*")
"""Names that can be part of a file's name, a record's key and a metric in W&B."""


@dataclass(frozen=True, kw_only=True)
class Plugin(Generic[T_co]):
    """A loaded entry point.

    Attributes:
        name: its name, which commands and records use.
        value: the object.
        package: name and version of the package that has it, such as "my-metrics 1.2".
    """

    name: str
    value: T_co
    package: str


def own_names(group: Group) -> tuple[str, ...]:
    """The names that slr has itself."""
    return tuple(OWN[group])


def added_names(group: Group) -> tuple[str, ...]:
    """The names that other packages add, in alphabetical order, whether or not they can be loaded."""
    return tuple(sorted({point.name for point in entry_points(group=group)} - OWN[group].keys()))


@cache
def load_plugin(group: Group, name: str, kind: type[T]) -> Plugin[T]:
    """Load what a name stands for.

    Args:
        group: the group of its entry point.
        name: its name.
        kind: the class that the object must have.

    Raises:
        ValueError: if it is no name, no package has it or several have it, or if it cannot be loaded or is something
            else. The message names the package and says what to do.
    """
    what = f"the {SINGULAR[group]} {name!r}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} has other characters than a-z, 0-9 and _, expected a name without them")
    if name in OWN[group]:
        return Plugin(name=name, value=_own(group, name, kind), package=OWN_PACKAGE)
    points = [point for point in entry_points(group=group) if point.name == name]
    if not points:
        known = (*own_names(group), *added_names(group))
        raise ValueError(
            f"{what} is not known, expected one of {', '.join(known) or 'none, because no package adds any'}"
            f"{did_you_mean(name, known)}. A package adds one by an entry point of the group {group}: "
            "see docs/extending.md"
        )
    if len(points) > 1:
        packages = " and ".join(sorted(map(package_of, points)))
        raise ValueError(
            f"{what} is in the packages {packages}: uninstall one of them, or rename its entry point"
        )
    [point] = points
    problem = f"{what} of the package {package_of(point)}"
    try:
        value = point.load()
    # An import runs the package's code, which may fail or even end in any way.
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{problem} cannot be loaded from {point.value} ({type(error).__name__}: {error}): repair or update the "
            "package, or leave the name out"
        ) from error
    if not isinstance(value, kind):
        raise ValueError(
            f"{problem} is a {type(value).__name__} ({point.value}), expected a {kind.__module__}.{kind.__qualname__}: "
            "repair the package, or leave the name out"
        )
    return Plugin(name=name, value=value, package=package_of(point))


def _own(group: Group, name: str, kind: type[T]) -> T:
    value = EntryPoint(name, OWN[group][name], group).load()
    assert isinstance(value, kind), f"OWN has the wrong object for {name}"
    return value


def package_of(point: EntryPoint) -> str:
    """Name and version of an entry point's package."""
    assert point.dist is not None
    return f"{point.dist.name} {point.dist.version}"
