"""Make hybrids in memory: instruct models in which some decoder layers are the base model's.

A hybrid at alpha 1 is a choice of layer modules. Only the containers along the path to the layers are copied, never a
tensor. Nothing in the pair is altered, so there is nothing to undo, and any number of hybrids can be in use at once.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from slr.intervals import WHOLE, LayerInterval, Stack
from slr.models.components import tensors_of
from slr.models.decoder import decoder_layers, decoder_layers_path
from slr.models.loading import ModelPair
from slr.models.streaming import LayerOnDisk, is_streamed, weights_in_memory
from slr.models.transformers_internals import (
    install_capturing_hooks,
    is_dispatched,
    rebind_dispatched_forward,
)
from slr.vocabulary import COMPONENTS, Component

logger = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=PreTrainedModel)
ModuleT = TypeVar("ModuleT", bound=nn.Module)


def restore(
    pair: ModelPair,
    interval: LayerInterval,
    alpha: float = 1.0,
    components: Sequence[Component] = COMPONENTS,
) -> PreTrainedModel:
    """Restore the layers of an interval of the instruct model to the base model's.

    Every parameter and buffer of these decoder layers becomes ``(1 - alpha) * instruct + alpha * base``, if its
    component is to be restored. Embeddings, final norm, LM head and generation settings stay the instruct model's. The
    empty interval gives the instruct model bit for bit.

    Args:
        pair: the two models; they are not altered.
        interval: the decoder layers to restore.
        alpha: share of the base model within the interval, in (0, 1].
        components: the parts of a layer to restore; the others stay the instruct model's.

    Returns:
        The hybrid. If layers are restored whole at alpha 1, it shares all its tensors with the pair. Otherwise the
        layers of the interval are new.

    Raises:
        ValueError: if the interval does not fit the model, alpha is not in (0, 1], a layer's tensors differ in name or
            shape between the two models, a component is unknown, or a tensor belongs to none.
    """
    interval.check_within(len(decoder_layers(pair.instruct_model)))
    hybrid = restore_layers(pair, range(*interval.ends), alpha, components)
    logger.info("%s: restored layers %s at alpha %g", pair.name, interval, alpha)
    return hybrid


def restore_layers(
    pair: ModelPair,
    indices: Iterable[int],
    alpha: float = 1.0,
    components: Sequence[Component] = COMPONENTS,
) -> PreTrainedModel:
    """Restore any set of layers; otherwise the same as ``restore``.

    Args:
        pair: the two models; they are not altered.
        indices: numbers of the decoder layers to restore, from 0.
        alpha: share of the base model in these layers, in (0, 1].
        components: the parts of a layer to restore.

    Raises:
        ValueError: if there is no such layer, or as ``restore`` says.
    """
    stack = Stack(alpha, tuple(components))
    instruct_layers = decoder_layers(pair.instruct_model)
    base_layers = decoder_layers(pair.base_model)
    for model in (pair.instruct_model, pair.base_model):
        install_capturing_hooks(model)  # a hybrid's ``output_hidden_states`` needs the hooks of both models
    layers = list(instruct_layers)
    for index in indices:
        if not 0 <= index < len(layers):
            raise ValueError(f"layer {index} given for a model of {len(layers)} layers, counted from 0")
        _check_same_tensors(instruct_layers[index], base_layers[index], f"decoder layer {index}")
        layers[index] = restored_layer(instruct_layers[index], base_layers[index], stack)
    return with_layers(pair.instruct_model, layers)


def restored_layer(instruct: nn.Module, base: nn.Module, stack: Stack) -> nn.Module:
    """Make the layer that stands in place of an instruct layer when it is restored.

    Args:
        instruct: layer of the instruct model.
        base: layer of the base model.
        stack: how much of the layer is restored.

    Returns:
        The base layer itself, if the layer is restored whole; otherwise a new layer.

    Raises:
        ValueError: if only some components are restored, and a tensor belongs to none; or if a part of the layer has
            a forward function of its own.
    """
    if stack == WHOLE:
        return base
    if isinstance(instruct, LayerOnDisk):
        return _MixedLayer(instruct, base, stack.alpha, stack.components)
    mixed = _copied(instruct)
    _interpolate_into(mixed, base, stack.alpha, stack.components)
    return mixed


def interpolate(pair: ModelPair, alpha: float) -> PreTrainedModel:
    """Make the soup: every parameter and buffer of the model is ``(1 - alpha) * instruct + alpha * base``.

    All tensors are new. Alpha 0 gives the instruct model's weights bit for bit, alpha 1 the base model's.

    Args:
        pair: the two models; they are not altered.
        alpha: share of the base model, in [0, 1].

    Raises:
        ValueError: if alpha is not in [0, 1], the tensors differ in name or shape, or a part of the instruct model has
            a forward function of its own.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected a number in [0, 1]: the base model's share")
    instruct, base = pair.instruct_model, pair.base_model
    _check_same_tensors(instruct, base, "the models")
    if not is_streamed(instruct):
        return _interpolated(instruct, base, alpha)
    layers = [
        _MixedLayer(*both, alpha) for both in zip(decoder_layers(instruct), decoder_layers(base), strict=True)
    ]
    # Without their layers the two models are small enough to be interpolated in memory.
    instruct_frame, base_frame = (
        with_layers(model, [nn.Identity() for _ in layers]) for model in (instruct, base)
    )
    return with_layers(_interpolated(instruct_frame, base_frame, alpha), layers)


def interpolate_tensor(instruct: torch.Tensor, base: torch.Tensor, alpha: float) -> torch.Tensor:
    """Compute ``(1 - alpha) * instruct + alpha * base``.

    The arithmetic is in float32 where the dtype has 16 bits. Tensors of whole numbers are not interpolated, and the
    instruct model's is kept.

    Args:
        instruct: tensor of the instruct model, of any shape.
        base: tensor of the base model, of the same shape.
        alpha: share of the base model.

    Returns:
        A new tensor in the instruct tensor's dtype.
    """
    if not instruct.is_floating_point():
        return instruct.clone()
    return torch.lerp(instruct, base.to(instruct), alpha)


def with_layers(model: ModelT, layers: Iterable[nn.Module]) -> ModelT:
    """Make a model that shares everything with ``model`` except its decoder layers.

    Args:
        model: the model; it is not altered.
        layers: the decoder layers of the new model, first to last.

    Raises:
        ValueError: if a function other than accelerate's has replaced the model's forward.
    """
    # Each module on the path to the list of layers is copied, because a module holds its children by reference.
    *parents, list_name = decoder_layers_path(model).split(".")
    clone = shallow_copy(model)
    clone.generation_config = copy.copy(model.generation_config)
    node: nn.Module = clone
    for name in parents:
        child = shallow_copy(node.get_submodule(name))
        node.add_module(name, child)
        node = child
    node.add_module(list_name, nn.ModuleList(layers))
    return clone


def shallow_copy(module: ModuleT) -> ModuleT:
    """Copy a module so that its attributes can be changed freely, while it shares its tensors and submodules.

    Raises:
        ValueError: if a function other than accelerate's has replaced ``forward`` on this very module.
    """
    _check_forward(module)
    clone = module.__new__(type(module))
    # The registries (submodules, hooks, ...) are dictionaries and must not be shared, but their contents may be.
    clone.__dict__.update(
        {name: value.copy() if isinstance(value, dict) else value for name, value in vars(module).items()}
    )
    if is_dispatched(module):
        rebind_dispatched_forward(clone)
    return clone


def _check_forward(module: nn.Module) -> None:
    """Check that a copy of the module computes with its own weights.

    Raises:
        ValueError: if it does not, because its forward is bound to the original, as transformers' ``tp_plan`` does it.
    """
    if "forward" in vars(module) and not is_dispatched(module):
        raise ValueError(
            f"{type(module).__name__} has a forward function of its own, so a copy would compute the same as the "
            "original: load the pair anew, without tensor parallelism, and change its models after hybrids are made"
        )


def _copied(module: ModuleT) -> ModuleT:
    for part in module.modules():
        _check_forward(part)
    return copy.deepcopy(module)


class _MixedLayer(LayerOnDisk):
    """A layer interpolated between two layers on disk, anew at each call; its ``stand_in`` is the instruct layer."""

    def __init__(
        self,
        instruct: nn.Module,
        base: nn.Module,
        alpha: float,
        components: Sequence[Component] = COMPONENTS,
    ) -> None:
        super().__init__(instruct)
        self.base = base
        self._alpha = alpha
        self._components = components

    @contextmanager
    def loaded(self) -> Generator[nn.Module]:
        """Read both layers, and interpolate between them."""
        # The instruct layer's tensors are freed at the end of the context, so they may be overwritten.
        with weights_in_memory(self.stand_in) as mixed:
            with weights_in_memory(self.base) as base:
                _interpolate_into(mixed, base, self._alpha, self._components)
            yield mixed


def _interpolated(instruct: ModuleT, base: nn.Module, alpha: float) -> ModuleT:
    result = _copied(instruct)
    _interpolate_into(result, base, alpha)
    return result


@torch.no_grad()
def _interpolate_into(
    target: nn.Module, base: nn.Module, alpha: float, components: Sequence[Component] = COMPONENTS
) -> None:
    chosen = None if len(components) == len(COMPONENTS) else tensors_of(target, components)
    # Names are not repeated for a shared tensor, such as a tied head, so it is not interpolated twice.
    for (name, tensor), (_, other) in zip(_each_tensor(target), _each_tensor(base), strict=True):
        if chosen is None or name in chosen:
            tensor.copy_(interpolate_tensor(tensor, other, alpha))


def _each_tensor(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    # This walks the submodules once for parameters and buffers, because restoring must stay under a millisecond. The
    # public iterators take twice as long.
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, part in module.named_modules()
        for registry in (part._parameters, part._buffers)  # pyright: ignore[reportPrivateUsage]
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
