"""Find the decoder layers of a transformers model in its modules, whatever its architecture is called."""

from __future__ import annotations

import math

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

ATTENDING_KINDS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Kinds of layers, as configurations name them, that look at other tokens only by attention with a mask."""


def decoder_layers_path(model: PreTrainedModel) -> str:
    """Find the dotted path of the list of decoder layers inside the model, such as ``model.layers``.

    The list is the one ``ModuleList`` of the model's decoder that has ``config.num_hidden_layers`` entries.

    Raises:
        ValueError: if the model has no such list, or more than one.
    """
    num_layers = model.config.get_text_config(decoder=True).num_hidden_layers
    decoder = decoder_of(model)
    lists = [
        name
        for name, child in decoder.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == num_layers
    ]
    if len(lists) != 1:
        found = ", ".join(lists) or "none"
        raise ValueError(
            f"{type(model).__name__}: expected exactly one list of {num_layers} decoder layers in "
            f"{type(decoder).__name__}, found {found}; layer restoration needs a decoder-only model "
            "whose layers stand in one list"
        )
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    return f"{prefix}.{lists[0]}" if prefix else lists[0]


def decoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return the part of the model that has its decoder layers."""
    decoder = model.get_decoder()
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    # transformers returns the model itself if it does not find the decoder by its name, as in Llama 4.
    return inner[0] if decoder is model and len(inner) == 1 else decoder


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the model's decoder layers, first to last; see ``decoder_layers_path`` for the errors."""
    layers = model.get_submodule(decoder_layers_path(model))
    assert isinstance(layers, nn.ModuleList)
    return layers


def layers_only_attend(config: PreTrainedConfig) -> bool:
    """Return whether all decoder layers look at other tokens only by attention with a mask.

    Layers with linear attention, a state or a convolution do not. A configuration that names no kinds has attention.
    """
    kinds = getattr(config.get_text_config(decoder=True), "layer_types", None)
    return ATTENDING_KINDS.issuperset(kinds or ())


def exact_tree_tokens(config: PreTrainedConfig) -> float:
    """Return how many tokens a tree of prompts may have, so that their places in it change nothing; may be infinite.

    Llama 4 scales some queries by the token's place in the call, whatever position it is given. The scale is 1 before
    the place ``floor_scale``.
    """
    text = config.get_text_config(decoder=True)
    return text.floor_scale - 1 if getattr(text, "attn_temperature_tuning", None) else math.inf
