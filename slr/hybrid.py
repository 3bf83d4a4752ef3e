"""Hybrids in memory: an instruct model some of whose decoder layers are the base model's.

A hybrid at alpha 1 is a choice of layer modules. Only the containers along the path to the layers are
copied, never a tensor, and nothing in the pair is altered, so there is nothing to undo and any number
of hybrids can be in use at once.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from slr.intervals import LayerInterval, check_alpha
from slr.models.decoder import decoder_layers, decoder_layers_path
from slr.models.loading import ModelPair
from slr.models.streaming import LayerOnDisk, is_streamed, weights_in_memory
from slr.models.transformers_internals import (
    install_capturing_hooks,
    is_dispatched,
    rebind_dispatched_forward,
)

logger = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=PreTrainedModel)
ModuleT = TypeVar("ModuleT", bound=nn.Module)


def restore(pair: ModelPair, interval: LayerInterval, alpha: float = 1.0) -> PreTrainedModel:
    """The instruct model with the layers of ``interval`` restored to the base model's.

    Every parameter and buffer of those decoder layers becomes ``(1 - alpha) * instruct + alpha * base``;
    embeddings, final norm, LM head and generation settings stay the instruct model's. At alpha 1 the
    hybrid shares all its tensors with the pair; below 1 the layers of the interval are new. The empty
    interval is the instruct model bit for bit.

    Raises:
        ValueError: if the interval does not fit the model, alpha is not in (0, 1], or a layer's tensors
            differ in name or shape between the two models.
    """
    check_alpha(alpha)
    instruct_layers = decoder_layers(pair.instruct_model)
    base_layers = decoder_layers(pair.base_model)
    interval.check_within(len(instruct_layers))
    for model in (pair.instruct_model, pair.base_model):
        install_capturing_hooks(model)  # for the hybrid's ``output_hidden_states``
    layers = list(instruct_layers)
    for index in range(*interval.ends):
        _check_same_tensors(instruct_layers[index], base_layers[index], f"decoder layer {index}")
        layers[index] = (
            base_layers[index]
            if alpha == 1
            else _interpolated_layer(instruct_layers[index], base_layers[index], alpha)
        )
    logger.info("%s: restored layers %s at alpha %g", pair.name, interval, alpha)
    return with_layers(pair.instruct_model, layers)


def interpolate(pair: ModelPair, alpha: float) -> PreTrainedModel:
    """The soup: every parameter and buffer of the model is ``(1 - alpha) * instruct + alpha * base``.

    All tensors are new. Alpha 0 gives the instruct model's weights bit for bit, alpha 1 the base model's.

    Raises:
        ValueError: if alpha is not in [0, 1], or the tensors differ in name or shape.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected a number in [0, 1]: the base model's share")
    instruct, base = pair.instruct_model, pair.base_model
    _check_same_tensors(instruct, base, "the models")
    if not is_streamed(instruct):
        return _interpolated(instruct, base, alpha)
    layers = [
        _interpolated_layer(*both, alpha)
        for both in zip(decoder_layers(instruct), decoder_layers(base), strict=True)
    ]
    # Without their layers the two are small enough to be interpolated now.
    instruct_frame, base_frame = (
        with_layers(model, [nn.Identity() for _ in layers]) for model in (instruct, base)
    )
    return with_layers(_interpolated(instruct_frame, base_frame, alpha), layers)


def interpolate_tensor(instruct: torch.Tensor, base: torch.Tensor, alpha: float) -> torch.Tensor:
    """``(1 - alpha) * instruct + alpha * base``, in the instruct tensor's dtype; 16-bit ones are computed in float32.

    Tensors of whole numbers are not interpolated: the instruct model's are kept.
    """
    if not instruct.is_floating_point():
        return instruct.clone()
    return torch.lerp(instruct, base.to(instruct), alpha)


def with_layers(model: ModelT, layers: Iterable[nn.Module]) -> ModelT:
    """A model that shares everything with ``model`` but has the given decoder layers instead.

    Raises:
        ValueError: if a function other than accelerate's has replaced the model's forward.
    """
    *parents, list_name = decoder_layers_path(model).split(".")
    clone = shallow_copy(model)
    clone.generation_config = copy.copy(model.generation_config)
    node: nn.Module = clone
    for name in parents:
        child = shallow_copy(node.get_submodule(name))
        node._modules[name] = child
        node = child
    node._modules[list_name] = nn.ModuleList(layers)
    return clone


def shallow_copy(module: ModuleT) -> ModuleT:
    """A module with the same tensors and submodules, whose own attributes can be changed freely.

    Raises:
        ValueError: if a function other than accelerate's has replaced ``forward`` on this very module.
    """
    if "forward" in vars(module) and not is_dispatched(module):
        raise ValueError(
            f"{type(module).__name__} has a forward function of its own, with which a copy would compute what "
            "the original does: load the pair anew, and change its models after hybrids are made"
        )
    clone = cast(ModuleT, module.__new__(type(module)))
    # The registries (submodules, hooks, ...) are dictionaries and must not be shared; what they hold may be.
    clone.__dict__.update(
        {name: value.copy() if isinstance(value, dict) else value for name, value in vars(module).items()}
    )
    if is_dispatched(module):
        rebind_dispatched_forward(clone)
    return clone


class _MixedLayer(LayerOnDisk):
    """A layer between two that are on disk, mixed anew whenever it is called; the instruct one stands in for it."""

    def __init__(self, instruct: nn.Module, base: nn.Module, alpha: float) -> None:
        super().__init__(instruct)
        self.base = base
        self._alpha = alpha

    @contextmanager
    def loaded(self) -> Iterator[nn.Module]:
        """Read both, and mix them."""
        with weights_in_memory(self.stand_in) as mixed:
            with weights_in_memory(self.base) as base:
                _interpolate_into(mixed, base, self._alpha)
            yield mixed


def _interpolated_layer(instruct: nn.Module, base: nn.Module, alpha: float) -> nn.Module:
    is_on_disk = isinstance(instruct, LayerOnDisk)
    return _MixedLayer(instruct, base, alpha) if is_on_disk else _interpolated(instruct, base, alpha)


def _interpolated(instruct: ModuleT, base: nn.Module, alpha: float) -> ModuleT:
    result = copy.deepcopy(instruct)
    _interpolate_into(result, base, alpha)
    return result


@torch.no_grad()
def _interpolate_into(target: nn.Module, base: nn.Module, alpha: float) -> None:
    # A tensor that is shared, as by a tied head, comes once.
    for tensor, other in zip(_each_tensor(target), _each_tensor(base), strict=True):
        tensor.copy_(interpolate_tensor(tensor, other, alpha))


def _each_tensor(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    # One walk over the submodules, for restoring must stay under a millisecond.
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, part in module.named_modules()
        for registry in (part._parameters, part._buffers)
        for name, tensor in registry.items()
        if tensor is not None
    ]


def _check_same_tensors(instruct: nn.Module, base: nn.Module, where: str) -> None:
    instruct_shapes = {name: tensor.shape for name, tensor in _tensors(instruct)}
    base_shapes = {name: tensor.shape for name, tensor in _tensors(base)}
    if instruct_shapes == base_shapes:
        return
    differences = [
        f"{name}: instruct {_shape(instruct_shapes.get(name))}, base {_shape(base_shapes.get(name))}"
        for name in sorted(instruct_shapes.keys() | base_shapes.keys())
        if instruct_shapes.get(name) != base_shapes.get(name)
    ]
    raise ValueError(f"{where} cannot be restored, the tensors differ: " + "; ".join(differences))


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))
