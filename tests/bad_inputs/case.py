"""What one bad input is: a command, what it finds, and what its one line has to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Area = Literal["models", "adapters", "options", "environment", "prompts", "records", "figures"]


def _as_it_is(_here: Path) -> None:
    pass


@dataclass(frozen=True)
class BadInput:
    """A command line, which begins with ``slr``.

    ``prepare`` is called with the working directory, which has a file ``FILE`` and what the area's commands are
    about: a pair ``base`` and ``instruct``, or ``base`` and ``adapter``, or records in ``testbed-x``.
    """

    area: Area
    line: str
    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] = _as_it_is
    name: str = ""
    """What is bad, where the command line does not say it."""

    @property
    def id(self) -> str:
        """For pytest."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return f"{self.area}: {self.name or ' '.join([*variables, self.line])}"
