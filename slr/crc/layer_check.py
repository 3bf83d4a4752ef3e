"""Whether a model can be computed a decoder layer at a time over a token tree, found by doing both on a short case.

It is done in float32, also for a model in 16 bits, where rounding alone may change log-probabilities as much as a
layer that takes the tree for one prompt, such as one with linear attention. Only one layer at a time is copied.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from slr.crc.layer_inputs import attention_of
from slr.crc.scoring import EncodedPrompts, answer_log_probs
from slr.hybrid import with_layers
from slr.models.decoder import decoder_layers
from slr.models.reference import UnusablePairError
from slr.models.streaming import LayerOnDisk, weights_in_memory

logger = logging.getLogger(__name__)

MAX_ERROR = 1e-3
"""Of a log-probability, allowed to a model in float32."""

MAX_ERROR_16_BIT = 0.02
"""The same for a model in 16 bits: such models are large, and rounding may choose other experts even in float32."""

LogProbs = Callable[[PreTrainedModel, EncodedPrompts], NDArray[np.float64]]


def allowed_error(dtype: torch.dtype) -> float:
    """Of a log-probability, for a model that was loaded in that dtype."""
    return MAX_ERROR if dtype == torch.float32 else MAX_ERROR_16_BIT


def check_layer_by_layer(
    model: PreTrainedModel, encoded: EncodedPrompts, log_probs: LogProbs, allowed: float
) -> None:
    """Compare what is computed layer by layer with the model's plain forward, for the two shortest prompts.

    Args:
        model: the model or hybrid, in float32.
        encoded: the prompts.
        log_probs: computes a model's log-probabilities (P, C) layer by layer.
        allowed: see ``allowed_error``.

    Raises:
        UnusablePairError: if either fails, or they differ by more than rounding.
        ValueError: if the model was loaded with another attention than the search needs.
    """
    attention_of(model)
    short = encoded.shortest(2)
    expected = answer_log_probs(model, short)
    try:
        check_same_log_probs(log_probs(model, short), expected, allowed)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a layer that is called otherwise than it expects fails in its own way
        raise UnusablePairError(
            f"{model.name_or_path} cannot be searched, because the decoder layers of {type(model).__name__} cannot be "
            f"computed one by one ({type(error).__name__}: {error}): slr build writes a hybrid of any layers, and slr "
            "score scores it"
        ) from error


def check_same_log_probs(
    found: NDArray[np.float64], expected: NDArray[np.float64], allowed: float = MAX_ERROR
) -> None:
    """Compare log-probabilities computed layer by layer with those of a plain forward.

    Where the plain forward overflows, only what is finite both times is compared: prompts of one tree are computed
    together, so one that overflows may take others with it.

    Raises:
        RuntimeError: if one differs by more than is allowed.
    """
    with np.errstate(invalid="ignore"):
        errors = np.where(found == expected, 0.0, np.abs(found - expected))
    if np.isnan(expected).any():
        errors = errors[~np.isnan(expected) & ~np.isnan(found)]
        if errors.size == 0:
            logger.info("not checked against a plain forward: its logits are not finite")
            return
    error = float(errors.max())
    logger.info("checked against a plain forward: log-probabilities differ by at most %.1e", error)
    if not error <= allowed:
        raise RuntimeError(
            f"log-probabilities differ from those of the plain forward by up to {error:.2g}, allowed {allowed:g}"
        )


def in_float32(model: PreTrainedModel, layers_of: PreTrainedModel | None = None) -> PreTrainedModel:
    """The model in float32, whose layers, or those of ``layers_of``, are converted only while they are called."""
    layers = decoder_layers(layers_of or model)
    if model.dtype == torch.float32:
        return with_layers(model, layers) if layers_of is not None else model
    frame = copy.deepcopy(with_layers(model, [nn.Identity() for _ in layers])).float()
    return with_layers(frame, [_Float32Layer(layer) for layer in layers])


class _Float32Layer(LayerOnDisk):
    """A layer, in memory or on disk, of which a copy in float32 computes."""

    @contextmanager
    def loaded(self) -> Iterator[nn.Module]:
        """Copy it."""
        with weights_in_memory(self.stand_in) as layer:
            yield copy.deepcopy(layer).float()
