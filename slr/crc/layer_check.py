"""Check whether a model can be computed one decoder layer at a time over a token tree.

Both ways are computed on a short case and compared. The check is done in float32, also for a model in 16
bits. There rounding alone may change log-probabilities as much as a layer that takes the tree for one prompt
does, such as a layer with linear attention. Only one layer at a time is copied.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from slr.crc.layer_inputs import attention_of
from slr.crc.scoring import EncodedPrompts, answer_log_probs
from slr.hybrid import with_layers
from slr.models.decoder import decoder_layers
from slr.models.loading import ModelPair
from slr.models.reference import UnusablePairError
from slr.models.streaming import LayerOnDisk, weights_in_memory

logger = logging.getLogger(__name__)

MAX_ERROR = 1e-3
"""Maximum absolute error of a log-probability (nats) for a model in float32."""

MAX_ERROR_16_BIT = 0.02
"""Maximum absolute error of a log-probability (nats) for a model in 16 bits, checked in float32.

It is larger, because such models are large, and rounding may choose other experts even in float32.
"""

LogProbs = Callable[[PreTrainedModel, EncodedPrompts], NDArray[np.float64]]


def allowed_error(dtype: torch.dtype) -> float:
    """Choose the maximum absolute error of a log-probability (nats) for the dtype that a model was loaded in."""
    return MAX_ERROR if dtype == torch.float32 else MAX_ERROR_16_BIT


def check_layer_by_layer(
    model: PreTrainedModel, encoded: EncodedPrompts, log_probs: LogProbs, allowed: float
) -> None:
    """Compare what is computed layer by layer with the model's plain forward, for the two shortest prompts.

    Args:
        model: the model or hybrid, in float32.
        encoded: the P prompts.
        log_probs: computes a model's log-probabilities (P, C) layer by layer.
        allowed: maximum absolute error of a log-probability (nats), from ``allowed_error``.

    Raises:
        UnusablePairError: if one of the two fails, or they differ by more than rounding.
        OutOfMemoryError: if the device has too little memory.
        ValueError: if the model was loaded with another attention implementation than the search needs.
    """
    attention_of(model)
    # Every token counts here, because rounding alone may decide whether a token is left out by min-p.
    short = replace(encoded.shortest(2), min_p=0.0)
    expected = answer_log_probs(model, short)
    try:
        check_same_log_probs(log_probs(model, short), expected, allowed)
    except torch.OutOfMemoryError:
        raise
    # A layer that is called otherwise than it expects fails in its own way.
    except Exception as error:
        raise UnusablePairError(
            f"{model.name_or_path} cannot be searched, because the decoder layers of {type(model).__name__} cannot be "
            f"computed one by one ({type(error).__name__}: {error}): slr build writes a hybrid of any layers, and slr "
            "score scores it"
        ) from error


def check_same_log_probs(
    found: NDArray[np.float64], expected: NDArray[np.float64], allowed: float = MAX_ERROR
) -> None:
    """Compare log-probabilities computed layer by layer with a plain forward's.

    Where the plain forward overflows, only values that are finite on both sides are compared. The prompts of
    one tree are computed together, so one that overflows may make others overflow too.

    Args:
        found: log-probabilities by tree (P, C).
        expected: log-probabilities by the plain forward (P, C).
        allowed: maximum absolute error of a log-probability (nats).

    Raises:
        RuntimeError: if one differs by more than is allowed.
    """
    # Two values of -inf are equal, but their difference is NaN.
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
            f"log-probabilities differ from the plain forward's by up to {error:.2g}, allowed {allowed:g}"
        )


def in_float32(model: PreTrainedModel, layers_of: PreTrainedModel | None = None) -> PreTrainedModel:
    """Convert a model to float32, one layer at a time.

    A layer is converted only while it is called, so the memory holds one converted layer.

    Args:
        model: the model.
        layers_of: model whose layers are used in place of the model's own.
    """
    layers = decoder_layers(layers_of or model)
    if model.dtype == torch.float32:
        return with_layers(model, layers) if layers_of is not None else model
    frame = copy.deepcopy(with_layers(model, [nn.Identity() for _ in layers])).float()
    return with_layers(frame, [_Float32Layer(layer) for layer in layers])


def pair_in_float32(pair: ModelPair) -> ModelPair:
    """Convert both models of a pair to float32, one layer at a time; both have the instruct model's other weights."""
    return replace(
        pair,
        base_model=in_float32(pair.instruct_model, layers_of=pair.base_model),
        instruct_model=in_float32(pair.instruct_model),
    )


class _Float32Layer(LayerOnDisk):
    """A layer, in memory or on disk, that computes as a copy in float32."""

    @contextmanager
    def loaded(self) -> Generator[nn.Module]:
        """Copy the layer in float32 while it is called."""
        with weights_in_memory(self.stand_in) as layer:
            yield copy.deepcopy(layer).float()
