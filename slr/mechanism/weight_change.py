"""How far post-training moved the weights of each decoder layer, separately for its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from slr.models.decoder import decoder_layers
from slr.models.loading import ModelPair
from slr.models.streaming import weights_in_memory
from slr.terminal.progress import OnProgress

Part = Literal["attention", "mlp", "norms"]
"""Parts of a decoder layer."""
_WORDS: tuple[tuple[Part, tuple[str, ...]], ...] = (
    ("norms", ("norm",)),
    ("attention", ("attn", "attention")),
    ("mlp", ("mlp", "feed_forward", "ffn", "moe", "expert")),
)
"""Words in the names of each part's modules. Norms come first, because some are named by what they stand before."""


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """Relative change of one layer's weights: ``||instruct - base|| / ||base||``, in Frobenius norms.

    It is None where the layer has no such part, or the base model's weights there are all 0.

    Attributes:
        attention: change of the projections of the attention.
        mlp: change of the projections of the MLP.
        norms: change of the scales of all norms.
    """

    attention: float | None
    mlp: float | None
    norms: float | None


def weight_changes(
    pair: ModelPair, on_progress: OnProgress = lambda _done, _total: None
) -> list[LayerChange]:
    """Measure the change of every decoder layer, first to last; one layer at a time is in memory if they are on disk.

    Args:
        pair: the two models.
        on_progress: called with the number of layers done and their number.
    """
    both = list(zip(decoder_layers(pair.base_model), decoder_layers(pair.instruct_model), strict=True))
    changes = []
    for done, (base, instruct) in enumerate(both, start=1):
        with weights_in_memory(base) as base_layer, weights_in_memory(instruct) as instruct_layer:
            changes.append(layer_change(base_layer, instruct_layer))
        on_progress(done, len(both))
    return changes


@torch.inference_mode()
def layer_change(base: nn.Module, instruct: nn.Module) -> LayerChange:
    """Measure the change from one layer to another one of the same tensors."""
    tensors = dict(base.named_parameters())
    squares: dict[Part, list[tuple[float, float]]] = defaultdict(list)
    for name, changed in instruct.named_parameters():
        if (part := part_of(name)) is not None:
            # float32, because a difference of 16-bit weights would lose most of its digits in their own dtype.
            original = tensors[name].float()
            moved = torch.linalg.vector_norm(changed.to(original) - original).item()
            squares[part].append((moved**2, torch.linalg.vector_norm(original).item() ** 2))
    return LayerChange(**{part: _relative(squares[part]) for part in get_args(Part)})


def part_of(tensor_name: str) -> Part | None:
    """Find the part of a layer that a tensor belongs to, by its name in the layer; None if it is in none.

    The outermost module decides, so a norm within the attention belongs to the attention.
    """
    return next(
        (
            part
            for module in tensor_name.split(".")[:-1]
            for part, words in _WORDS
            if any(word in module for word in words)
        ),
        None,
    )


def _relative(squares: Sequence[tuple[float, float]]) -> float | None:
    moved, original = (sum(column) for column in zip(*squares, strict=True)) if squares else (0.0, 0.0)
    return (moved / original) ** 0.5 if original > 0 else None
