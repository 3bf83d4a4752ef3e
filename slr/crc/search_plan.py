"""Estimate what a search takes, before a weight is read or downloaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from slr.crc.scoring import encode_prompts
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.crc.token_tree import TokenTree
from slr.crc.tree_forward import DEFAULT_MEMORY_BUDGET
from slr.intervals import all_intervals
from slr.models.checkpoint import Checkpoint
from slr.models.decoder import layers_only_attend
from slr.models.hub import weights_are_local
from slr.models.opened_pair import OpenedPair
from slr.models.safetensors_index import TORCH_DTYPES
from slr.models.streaming import SHARE_OF_FREE_MEMORY, free_bytes
from slr.runs.device import matrix_flops_per_second
from slr.runs.results import RecordsByKey

SHARE_OF_SPEED = 0.55
"""Share of the speed of a large matrix product that a search reaches; measured: 0.47 to 0.64 (docs/search.md)."""


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """What the cells of a search that are still to be run take.

    Attributes:
        pair: name of the pair.
        num_layers: number of decoder layers.
        num_intervals: number of layer intervals.
        num_alphas: number of shares of the base model at which each interval is scored.
        num_cells_to_do: number of cells to run; 0 if everything is on record.
        layer_evaluations: number of times that one layer processes one model's hidden states.
        tree_tokens: number of tokens of the selection prompts; a shared beginning counts once if the layers only
            attend.
        flops: number of floating-point operations of the layers' matrix products.
        seconds: time in seconds of the computing; loading the models comes on top.
        model_bytes: size of both models in bytes, in the dtype of the search.
        state_bytes: largest number of bytes of hidden states and of one call of a layer.
        free_bytes: number of free bytes of the device.
        is_streamed: whether the layers stay on disk, because both models do not fit.
        download_bytes: size in bytes of the weights that are not here yet.
    """

    pair: str
    num_layers: int
    num_intervals: int
    num_alphas: int
    num_cells_to_do: int
    layer_evaluations: int
    tree_tokens: int
    flops: float
    seconds: float
    model_bytes: int
    state_bytes: int
    free_bytes: int
    is_streamed: bool
    download_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Number of bytes that the search needs on its device."""
        return self.model_bytes + self.state_bytes

    def as_json(self) -> dict[str, Any]:
        """All numbers by name."""
        return {**asdict(self), "needed_bytes": self.needed_bytes}


def plan_search(
    opened: OpenedPair,
    config: CrcStudyConfig,
    results: RecordsByKey,
    *,
    device: str,
    dtype: torch.dtype | None,
    stream: bool | None,
) -> SearchPlan:
    """Estimate what a search takes. The speed of the device is measured now, which takes a second.

    Args:
        opened: the pair.
        config: configuration of the search.
        results: what is on record already.
        device: device of the search.
        dtype: dtype of the search; None for the instruct model's.
        stream: whether the layers stay on disk; None if that depends on the free memory.

    Raises:
        ValueError: if the tokenizer cannot encode the prompts.
    """
    instruct = opened.instruct
    if instruct.tokenizer is None:
        raise ValueError(
            f"{instruct.reference} has no tokenizer: expected tokenizer.json next to its weights"
        )
    dtype = dtype or instruct.dtype
    num_layers = instruct.num_layers
    spec = replace(opened.spec, num_layers=num_layers)
    cells = [cell for cell in crc_experiment(config).cells(spec) if not cell.is_done(results)]
    # What is on record is not computed again.
    evaluations = sum(cell.cost.layer_evaluations for cell in cells)
    prompts = encode_prompts(config.prompts("selection"), instruct.tokenizer)
    # Only a model whose layers only attend computes a shared beginning once (``prompt_groups``).
    shared = layers_only_attend(instruct.config)
    tree_tokens = len(TokenTree.build(prompts.token_ids)) if shared else sum(map(len, prompts.token_ids))
    in_layers = _num_parameters(instruct, in_layers=True)
    flops = 2 * in_layers / num_layers * evaluations * tree_tokens
    free = free_bytes(device)
    whole = 2 * instruct.layout.num_parameters * dtype.itemsize
    is_streamed = (
        stream if stream is not None else opened.adapter is None and whole > SHARE_OF_FREE_MEMORY * free
    )
    outside = _num_parameters(instruct, in_layers=False)
    # One layer computes while the next one is read.
    streamed = 2 * (outside + 2 * in_layers // num_layers) * dtype.itemsize
    hidden_size = instruct.config.get_text_config(decoder=True).hidden_size
    # A pass over one start holds a state for each end of each stack, and half of the budget is for the calls.
    states = 2 * (1 + len(config.stacks) * num_layers) * tree_tokens * hidden_size * dtype.itemsize
    return SearchPlan(
        pair=spec.name,
        num_layers=num_layers,
        num_intervals=len(all_intervals(num_layers)),
        num_alphas=len(config.stacks),
        num_cells_to_do=len(cells),
        layer_evaluations=evaluations,
        tree_tokens=tree_tokens,
        flops=flops,
        seconds=flops / (SHARE_OF_SPEED * matrix_flops_per_second(device, dtype, repetitions=5)),
        model_bytes=streamed if is_streamed else whole,
        state_bytes=min(states, DEFAULT_MEMORY_BUDGET),
        free_bytes=free,
        is_streamed=is_streamed,
        download_bytes=_bytes_to_download([opened.base] if opened.adapter else [opened.base, instruct]),
    )


def _num_parameters(checkpoint: Checkpoint, *, in_layers: bool) -> int:
    """Count the weights inside or outside the decoder layers."""
    layout = checkpoint.layout
    return sum(
        math.prod(shape)
        for name, shape in layout.shapes.items()
        if name not in layout.tied and (layout.layer_of(name) is not None) == in_layers
    )


def _bytes_to_download(checkpoints: Sequence[Checkpoint]) -> int:
    return sum(
        math.prod(tensor.shape) * TORCH_DTYPES[tensor.dtype].itemsize
        for checkpoint in checkpoints
        if checkpoint.reference.directory is None and not weights_are_local(checkpoint.directory)
        for tensor in checkpoint.index.tensors.values()
    )
