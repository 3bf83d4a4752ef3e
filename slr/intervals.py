"""What is restored: ranges of decoder layers, half-open and zero-based, and how much of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.vocabulary import COMPONENTS, Component


@dataclass(frozen=True, order=True)
class LayerInterval:
    """The decoder layers ``start, start + 1, ..., end - 1``.

    If ``start == end``, the interval is empty. No layer is restored, and the hybrid is the instruct model.

    Attributes:
        start: first layer, counted from 0.
        end: layer after the last one.

    Raises:
        ValueError: if ``start`` is negative or ``end`` is smaller than ``start``.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        """Check the two ends.

        Raises:
            ValueError: as the class says.
        """
        if self.start < 0 or self.end < self.start:
            raise ValueError(
                f"layer interval {self.start}:{self.end} is not valid: expected 0 <= start <= end "
                "(layers are counted from 0, and the end is not included)"
            )

    @classmethod
    def parse(cls, text: str) -> LayerInterval:
        """Read an interval such as ``"12:20"``, which is layers 12 to 19.

        Raises:
            ValueError: if the text is not two whole numbers with a colon between them.
        """
        start, colon, end = text.strip().partition(":")
        if not (colon and start.isdecimal() and end.isdecimal()):
            raise ValueError(
                f"cannot read {text!r} as a layer interval: expected START:END, for example 12:20"
            )
        return cls(int(start), int(end))

    def check_within(self, num_layers: int) -> None:
        """Check that the interval lies within a model of ``num_layers`` layers.

        Raises:
            ValueError: if it ends beyond the last layer.
        """
        if self.end > num_layers:
            raise ValueError(
                f"layer interval {self} does not fit a model of {num_layers} decoder layers: "
                f"expected an end of at most {num_layers}"
            )

    @property
    def ends(self) -> tuple[int, int]:
        """The pair of ``start`` and ``end``, as records hold it."""
        return self.start, self.end

    def __len__(self) -> int:
        """Count the layers."""
        return self.end - self.start

    def __contains__(self, layer: object) -> bool:
        """Whether a layer is in the interval; None, which stands for no layer, is in no interval."""
        return isinstance(layer, int) and self.start <= layer < self.end

    def __str__(self) -> str:
        """Write the interval as ``parse`` reads it."""
        return f"{self.start}:{self.end}"


def check_alpha(alpha: float) -> None:
    """Check alpha, the base model's share within an interval.

    Raises:
        ValueError: if it is not in (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ValueError(
            f"alpha is {alpha}, expected a number in (0, 1]: the base model's share within the interval"
        )


def check_components(components: Sequence[str]) -> None:
    """Check the components of a layer that are to be restored.

    Raises:
        ValueError: if there is none, or one is unknown or given twice.
    """
    if not components or len(set(components)) < len(components) or not set(components) <= set(COMPONENTS):
        raise ValueError(
            f"the components are {', '.join(map(repr, components)) or 'none'}, expected one or more of "
            f"{', '.join(COMPONENTS)}, each once"
        )


@dataclass(frozen=True, order=True)
class Stack:
    """How much of a layer is restored. The layers made in this way are a stack that an interval is taken from.

    Attributes:
        alpha: share of the base model in what is restored, in (0, 1].
        components: the parts of a layer that are restored, in the order of ``COMPONENTS``.

    Raises:
        ValueError: if alpha is not in (0, 1], there is no component, or one is unknown or given twice.
    """

    alpha: float = 1.0
    components: tuple[Component, ...] = COMPONENTS

    def __post_init__(self) -> None:
        """Check both, and sort the components, so that equal stacks are equal.

        Raises:
            ValueError: as the class says.
        """
        check_alpha(self.alpha)
        check_components(self.components)
        in_order = tuple(component for component in COMPONENTS if component in self.components)
        object.__setattr__(self, "components", in_order)

    def __str__(self) -> str:
        """Write what is not whole, such as "attention at alpha 0.5"; "" if a layer is restored whole."""
        parts = [] if self.components == COMPONENTS else [" and ".join(self.components)]
        return " ".join(parts if self.alpha == 1 else [*parts, f"at alpha {self.alpha:g}"])


WHOLE = Stack()
"""Layers that are restored whole, so they are the base model's own."""


@dataclass(frozen=True, order=True)
class Restoration:
    """All that makes a hybrid of a pair.

    Attributes:
        interval: the restored layers.
        stack: how much of each layer is restored.
    """

    interval: LayerInterval
    stack: Stack = WHOLE

    @property
    def alpha(self) -> float:
        """Share of the base model in what is restored, in (0, 1]."""
        return self.stack.alpha

    @property
    def components(self) -> tuple[Component, ...]:
        """The parts of a layer that are restored."""
        return self.stack.components

    def __str__(self) -> str:
        """Write the interval, and what is not whole, such as "12:20 at alpha 0.5"."""
        return f"{self.interval} {self.stack}".rstrip()


LayerSet = frozenset[int]
"""Numbers of the decoder layers that are restored, in any places, counted from 0."""


def all_intervals(num_layers: int) -> list[LayerInterval]:
    """List every non-empty interval of ``num_layers`` layers, by start and then by end.

    There are ``num_layers * (num_layers + 1) / 2`` of them.

    Raises:
        ValueError: if ``num_layers`` is less than 1.
    """
    if num_layers < 1:
        raise ValueError(f"a model has at least one decoder layer, but num_layers is {num_layers}")
    return [
        LayerInterval(start, end) for start in range(num_layers) for end in range(start + 1, num_layers + 1)
    ]
