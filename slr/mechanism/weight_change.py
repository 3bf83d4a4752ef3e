"""How far post-training moved the weights of each decoder layer, separately for its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from slr.models.components import component_of
from slr.models.decoder import decoder_layers
from slr.models.loading import ModelPair
from slr.models.streaming import weights_in_memory
from slr.terminal.progress import OnProgress
from slr.vocabulary import COMPONENTS, Component


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """Relative change of one layer's weights: ``||instruct - base|| / ||base||``, in Frobenius norms.

    It is None where the layer has no such part, or the base model's weights there are all 0.

    Attributes:
        attention: change of the attention, with norms that are part of it.
        mlp: change of the MLP.
        norms: change of the other norms.
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
    """Measure the change from one layer to another one of the same tensors.

    Raises:
        ValueError: if a tensor belongs to no component.
    """
    tensors = dict(base.named_parameters())
    squares: dict[Component, list[tuple[float, float]]] = defaultdict(list)
    for name, changed in instruct.named_parameters():
        # In float32, because a difference of 16-bit weights would lose most of its digits in their own dtype.
        original = tensors[name].float()
        moved = torch.linalg.vector_norm(changed.to(original) - original).item()
        squares[component_of(name)].append((moved**2, torch.linalg.vector_norm(original).item() ** 2))
    return LayerChange(**{component: _relative(squares[component]) for component in COMPONENTS})


def _relative(squares: Sequence[tuple[float, float]]) -> float | None:
    moved, original = (sum(column) for column in zip(*squares, strict=True)) if squares else (0.0, 0.0)
    return (moved / original) ** 0.5 if original > 0 else None
