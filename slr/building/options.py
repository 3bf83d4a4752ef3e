"""Options of writing a hybrid, as a checkpoint or as an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slr.intervals import Stack
from slr.vocabulary import COMPONENTS, Component


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of writing a hybrid.

    Attributes:
        alpha: share of the base model within the interval, or in a soup, in (0, 1].
        components: the parts of a layer to restore.
        overwrite: whether to replace an existing directory that slr wrote, once the new one is complete.
        verify: whether to read all weight files from the disk again, compare them with their sources, and put their
            SHA-256 into the manifest. Then numbers that are not finite are refused in every part of both models, not
            only in the hybrid.
        search_dir: output directory of a search over the same pair. The model card takes its CRC scores from there;
            None for a card without scores.

    Raises:
        ValueError: if alpha is not in (0, 1], there is no component, or one is unknown or given twice.
    """

    alpha: float = 1.0
    components: tuple[Component, ...] = COMPONENTS
    overwrite: bool = False
    verify: bool = False
    search_dir: Path | None = None

    def __post_init__(self) -> None:
        """Check alpha and components."""
        _ = self.stack  # making it checks both

    @property
    def stack(self) -> Stack:
        """How much of each layer is restored."""
        return Stack(self.alpha, self.components)


DEFAULT_OPTIONS = BuildOptions()
