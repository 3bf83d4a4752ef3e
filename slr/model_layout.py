"""What a configuration makes of a model: its tensors, and which decoder layer each belongs to.

Known from the architecture itself, by building the model without weights (on torch's meta device), never
by guessing from names.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from slr.decoder import decoder_layers_path
from slr.tensor_index import TensorIndex

AttentionImplementation = Literal["eager", "sdpa"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelLayout:
    """The tensors of a model by name.

    ``layers_path`` is the path of the list of decoder layers, such as ``model.layers``. ``tied`` are the
    names of tensors that share another one's memory, and so need not be on disk. ``attention`` is the
    implementation that the model is to be loaded with.
    """

    architecture: str
    layers_path: str
    shapes: Mapping[str, Shape]
    tied: frozenset[str]
    attention: AttentionImplementation

    @property
    def num_parameters(self) -> int:
        """Number of weights, each tied one counted once."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name not in self.tied)

    def layer_of(self, tensor_name: str) -> int | None:
        """The decoder layer that a tensor belongs to, None if it stands outside of them."""
        match = re.match(rf"{re.escape(self.layers_path)}\.(\d+)\.", tensor_name)
        return int(match[1]) if match else None

    def misfits(self, index: TensorIndex) -> tuple[str, ...]:
        """Tensors that the model needs and that a checkpoint lacks or has in another shape, a line each."""
        if index.problems or not self.names_match(index):
            return ()
        found = {name: entry.shape for name, entry in index.tensors.items()}
        lines = {
            name: f"configuration {shape}, weights {found.get(name, 'missing')}"
            for name, shape in self.shapes.items()
            if found.get(name, "missing") != shape and not (name in self.tied and name not in found)
        }
        return tuple(group_layers(lines, self.layers_path))

    def names_match(self, index: TensorIndex) -> bool:
        """Whether the checkpoint names its tensors as the model does; some architectures rename them."""
        return not self.shapes.keys().isdisjoint(index.tensors)


def model_layout(config: PreTrainedConfig, where: str) -> ModelLayout:
    """Build the configuration's model without weights and describe it.

    Raises:
        ValueError: if there is no causal language model for the configuration, or it has no single list of
            decoder layers. ``where`` says in the message whose configuration it is.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        layers_path = decoder_layers_path(model)
    except (ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"{where} is no decoder-only language model with a list of decoder layers (model type "
            f"{config.model_type}): {str(error).splitlines()[0]}"
        ) from error
    return ModelLayout(
        architecture=type(model).__name__,
        layers_path=layers_path,
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        tied=frozenset(model.all_tied_weights_keys),
        attention="sdpa" if model._supports_sdpa and not _has_softcapping(config) else "eager",
    )


def group_layers(lines: Mapping[str, str], layers_path: str) -> Iterable[str]:
    """``tensor NAME: TEXT`` for each item, tensors of different layers with the same text in one line."""
    pattern = re.compile(rf"(?<={re.escape(layers_path)}\.)\d+(?=\.)")
    layers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, text in lines.items():
        number = pattern.search(name)
        layers[pattern.sub("{}", name), text] += [number[0]] if number else []
    for (name, text), numbers in layers.items():
        which = numbers[0] if len(numbers) == 1 else "{" + ",".join(numbers) + "}"
        yield f"tensor {name.replace('{}', which)}: {text}"


def _has_softcapping(config: PreTrainedConfig) -> bool:
    # transformers' scaled-dot-product attention has no softcapping, and refuses models that ask for it.
    return getattr(config.get_text_config(decoder=True), "attn_logit_softcapping", None) is not None
