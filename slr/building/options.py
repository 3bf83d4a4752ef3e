"""How a hybrid is written, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slr.intervals import check_alpha


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How a hybrid is written.

    Attributes:
        alpha: share of the base model within the interval, in (0, 1].
        overwrite: whether to replace an existing directory that slr wrote, once the new one is complete.
        verify: whether to read everything from the disk again, compare it with what it is made of, and put the SHA-256
            of each weight file into the manifest. Numbers that are not finite are then refused in any part of both
            models, not only in what goes into the hybrid.
        search_dir: output directory of a search over the same pair, for the CRC scores in the model card; None: the
            card has none.

    Raises:
        ValueError: if alpha is not in (0, 1].
    """

    alpha: float = 1.0
    overwrite: bool = False
    verify: bool = False
    search_dir: Path | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)


DEFAULT_OPTIONS = BuildOptions()
