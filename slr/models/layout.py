"""What a configuration makes of a model: its tensors, and which decoder layer each belongs to.

Known from the architecture itself, by building the model without weights (on torch's meta device), never
by guessing from names.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
)

from slr.models.decoder import decoder_layers_path
from slr.models.safetensors_index import TensorIndex
from slr.models.transformers_internals import is_listed, supports_sdpa, tied_weights

AttentionImplementation = Literal["eager", "sdpa"]
Shape = tuple[int, ...]

FEWEST_COUNTED = 1024
"""Layers, or experts, that may be built whatever the files hold: it takes seconds."""

_COUNT = re.compile(r"^(num|n)_.*(layers?|blocks?|experts)$|^(en|de)coder_layers$|^depth$|_depth$")
"""Names of fields that say how many times something is built."""


@dataclass(frozen=True)
class ModelLayout:
    """The tensors of a model by name.

    ``layers_path`` is the path of the list of decoder layers, such as ``model.layers``. ``tied`` are the
    names of tensors that share another one's memory, and so need not be on disk. ``attention`` is the
    implementation that the model is to be loaded with, ``model`` the model without weights.
    """

    architecture: str
    layers_path: str
    shapes: Mapping[str, Shape]
    tied: frozenset[str]
    attention: AttentionImplementation
    model: PreTrainedModel = field(repr=False, compare=False)

    @property
    def num_parameters(self) -> int:
        """Number of weights, each tied one counted once."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name not in self.tied)

    @property
    def shared_by_layers(self) -> tuple[str, str] | None:
        """Names of two tensors, in different decoder layers, that share their memory; None if there are none."""
        return next(
            (
                (first, second)
                for second, first in tied_weights(self.model).items()
                if self.layer_of(first) != self.layer_of(second)
            ),
            None,
        )

    def layer_of(self, tensor_name: str) -> int | None:
        """The decoder layer that a tensor belongs to, None if it stands outside of them."""
        match = re.match(rf"{re.escape(self.layers_path)}\.(\d+)\.", tensor_name)
        return int(match[1]) if match else None


def auto_class(config: PreTrainedConfig) -> Any:
    """Transformers' automatic class that makes and loads the model of a configuration.

    Some models that read images as well are in the list of those only, though their text model is a decoder.
    """
    reads_images = is_listed(AutoModelForImageTextToText, config)
    is_causal = is_listed(AutoModelForCausalLM, config)
    return AutoModelForImageTextToText if reads_images and not is_causal else AutoModelForCausalLM


def model_layout(config: PreTrainedConfig, where: str) -> ModelLayout:
    """Build the configuration's model without weights and describe it.

    Raises:
        ValueError: if there is no causal language model for the configuration, it has an encoder too, or it has no
            single list of decoder layers. ``where`` says in the message whose configuration it is.
    """
    if config.is_encoder_decoder:
        raise ValueError(
            f"{where} has an encoder beside its decoder (model type {config.model_type}): expected a decoder-only "
            "language model"
        )
    try:
        with torch.device("meta"):
            # Which attention a configuration asks for is of no matter here, and it may not be installed.
            model = auto_class(config).from_config(
                config, attn_implementation="eager", trust_remote_code=False
            )
        layers_path = decoder_layers_path(model)
    except Exception as error:  # sizes that do not fit fail with whatever the model's code fails with
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{where} is no decoder-only language model with a list of decoder layers (model type "
            f"{config.model_type}): {reason}"
        ) from error
    return ModelLayout(
        architecture=type(model).__name__,
        layers_path=layers_path,
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        tied=frozenset(tied_weights(model)),
        attention="sdpa" if supports_sdpa(model) and not _has_softcapping(config) else "eager",
        model=model,
    )


def check_layer_counts(fields: Mapping[str, Any], index: TensorIndex, where: str) -> None:
    """Raise before a model of more layers, or more experts, is built than there are weights for.

    Args:
        fields: of config.json, as they are.
        index: what the weight files hold.
        where: whose they are, for the message.

    Raises:
        ValueError: if a number of layers or experts in the configuration, or in a part of it, is larger than
            the files can hold.
    """
    most = max(len(index.tensors), FEWEST_COUNTED)
    parts = [fields]
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                parts.append(value)  # which the loop comes to, too
            if _COUNT.search(name) and isinstance(value, int | float) and value > most:
                raise ValueError(
                    f"config.json of {where} says {name} {value}, but its weight files hold {len(index.tensors)} "
                    "tensors: the two do not belong together"
                )


def group_layers(lines: Mapping[str, str], layers_path: str) -> Iterable[str]:
    """``tensor NAME: TEXT`` for each item, tensors of different layers with the same text in one line."""
    # Files may put another prefix before the list's own name than the model does.
    list_name = re.escape(layers_path.rpartition(".")[2])
    pattern = re.compile(rf"(?<=\b{list_name}\.)\d+(?=\.)")
    layers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, text in lines.items():
        number = pattern.search(name)
        layers[pattern.sub("{}", name, count=1), text] += [number[0]] if number else []
    for (name, text), numbers in layers.items():
        which = numbers[0] if len(numbers) == 1 else "{" + ",".join(numbers) + "}"
        yield f"tensor {name.replace('{}', which)}: {text}"


def _has_softcapping(config: PreTrainedConfig) -> bool:
    # transformers' scaled-dot-product attention has no softcapping, and refuses models that ask for it.
    return getattr(config.get_text_config(decoder=True), "attn_logit_softcapping", None) is not None
