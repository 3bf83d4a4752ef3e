"""Find out which tensors a configuration's model has, and which decoder layer each belongs to.

The answer comes from the architecture itself. The model is built without weights, on torch's meta device, and nothing
is guessed from names.
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
"""Number of layers or experts that may be built whatever the files hold, because it takes only seconds."""

_COUNT = re.compile(r"^(num|n)_.*(layers?|blocks?|experts)$|^(en|de)coder_layers$|^depth$|_depth$")
"""Pattern of the names of fields that say how many times something is built."""


@dataclass(frozen=True)
class ModelLayout:
    """The tensors of a model, by name.

    Attributes:
        architecture: name of the model's class.
        layers_path: path of the list of decoder layers, such as ``model.layers``.
        shapes: shape of each tensor.
        tied: names of the tensors that share another one's memory, and so need not be on disk.
        attention: attention implementation that the model must be loaded with.
        model: the model without weights.
    """

    architecture: str
    layers_path: str
    shapes: Mapping[str, Shape]
    tied: frozenset[str]
    attention: AttentionImplementation
    model: PreTrainedModel = field(repr=False, compare=False)

    @property
    def num_parameters(self) -> int:
        """Number of weights; tied weights count once."""
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
        """Find the decoder layer that a tensor belongs to; None if it is outside the layers."""
        match = re.match(rf"{re.escape(self.layers_path)}\.(\d+)\.", tensor_name)
        return int(match[1]) if match else None


def auto_class(config: PreTrainedConfig) -> Any:
    """Choose transformers' automatic class that makes and loads the model of a configuration.

    transformers lists some models that also read images only under image models, though their text model is a decoder.
    """
    reads_images = is_listed(AutoModelForImageTextToText, config)
    is_causal = is_listed(AutoModelForCausalLM, config)
    return AutoModelForImageTextToText if reads_images and not is_causal else AutoModelForCausalLM


def model_layout(config: PreTrainedConfig, where: str) -> ModelLayout:
    """Build the configuration's model without weights and describe it.

    Args:
        config: the configuration.
        where: name of the model, for the message.

    Raises:
        ValueError: if there is no causal language model for the configuration, it has an encoder too, or it has no
            single list of decoder layers.
    """
    if config.is_encoder_decoder:
        raise ValueError(
            f"{where} has an encoder besides its decoder (model type {config.model_type}): expected a decoder-only "
            "language model"
        )
    try:
        with torch.device("meta"):
            # The attention that the configuration asks for makes no difference here, and may not be installed.
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
    """Check that a configuration asks for no more layers or experts than there are weights for.

    Without this check, a damaged configuration could have millions of layers built.

    Args:
        fields: fields of config.json, as they are.
        index: tensors of the weight files.
        where: name of the model, for the message.

    Raises:
        ValueError: if a number of layers or experts in the configuration, or in a part of it, is larger than
            the files can hold.
    """
    most = max(len(index.tensors), FEWEST_COUNTED)
    parts = [fields]
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                parts.append(value)  # the outer loop comes to this part as well
            if _COUNT.search(name) and isinstance(value, int | float) and value > most:
                raise ValueError(
                    f"config.json of {where} says {name} {value}, but its weight files hold {len(index.tensors)} "
                    "tensors: the two do not belong together"
                )


def group_layers(lines: Mapping[str, str], layers_path: str) -> Iterable[str]:
    """Write ``tensor NAME: TEXT`` for each item, with the same tensor of different layers in one line.

    Args:
        lines: text for each tensor, by name.
        layers_path: path of the list of decoder layers.
    """
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
