"""Tell the components of a decoder layer apart, by the names that transformers gives to its submodules."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from slr.vocabulary import COMPONENTS, Component

_MARKS: tuple[tuple[Component, tuple[str, ...]], ...] = (
    # Norms come first, because a name such as post_attention_layernorm also says where the norm stands.
    ("norms", ("norm", "ln_")),
    ("attention", ("attn", "attention")),
    ("mlp", ("mlp", "moe", "feed_forward", "ffn")),
)
"""Pieces of a submodule's name that mark each component."""


def component_of(name: str) -> Component:
    """Find the component of a decoder layer's parameter or buffer.

    The outermost submodule decides, so ``self_attn.q_norm.weight`` belongs to attention.

    Args:
        name: path of the tensor within the layer.

    Raises:
        ValueError: if no submodule on the path has the name of a component.
    """
    *modules, _ = name.split(".")
    for module in modules:
        for component, marks in _MARKS:
            if any(mark in module for mark in marks):
                return component
    raise ValueError(
        f"the decoder layer's tensor {name} belongs to no component ({', '.join(COMPONENTS)}), so this architecture's "
        "layers cannot be restored in part: restore them with all components"
    )


def tensors_of(layer: nn.Module, components: Iterable[Component]) -> set[str]:
    """Find the names of a layer's parameters and buffers that belong to some components.

    Raises:
        ValueError: if a parameter belongs to no component.
    """
    wanted = set(components)
    names = [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]
    return {name for name in names if component_of(name) in wanted}
