"""The record of the cost of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slr.intervals import all_intervals
from slr.runs.provenance import peak_memory_bytes
from slr.runs.records import SearchCost, SearchMethod

if TYPE_CHECKING:
    from slr.crc.scoring import EncodedPrompts
    from slr.models.loading import ModelPair


def measured_cost(
    pair: ModelPair,
    encoded: EncodedPrompts,
    *,
    header: dict[str, Any],
    device: str,
    seconds: float,
    layer_evaluations: int,
    tokens_computed: int,
    method: SearchMethod = "shared",
    num_intervals: int | None = None,
) -> SearchCost:
    """Record what it cost this process to score intervals. Its peak memory counts as the method's.

    Args:
        pair: the models that were searched.
        encoded: the prompts by which they were scored.
        header: the record's experiment, pair and provenance.
        device: device whose peak memory is read.
        seconds: wall time of the scoring in seconds.
        layer_evaluations: number of times that one layer processed one model's hidden states.
        tokens_computed: number of tokens, summed over the layer evaluations.
        method: way in which intervals are scored.
        num_intervals: number of intervals scored; None for all.

    Returns:
        The record.
    """
    import torch

    return SearchCost(
        **header,
        method=method,
        num_layers=pair.num_layers,
        hidden_size=pair.instruct_model.config.get_text_config(decoder=True).hidden_size,
        num_intervals=len(all_intervals(pair.num_layers)) if num_intervals is None else num_intervals,
        num_prompts=len(encoded.prompts),
        prompt_tokens=sum(map(len, encoded.token_ids)),
        dtype=str(pair.instruct_model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        seconds=seconds,
        layer_evaluations=layer_evaluations,
        tokens_computed=tokens_computed,
        peak_memory_bytes=peak_memory_bytes(device),
    )
