"""How many answers a GPU's memory holds at once: the weights are there, and caches and logits share what is free."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

MOST_ROWS = 512
"""Largest number of rows that is chosen. More rows hardly raise the speed, because arithmetic bounds it by then."""
TYPICAL_ANSWER_TOKENS = 512
"""Number of tokens of an answer that a row is counted with. Longer ones take the room that shorter ones leave."""
LOGIT_BYTES = 40
"""Bytes for each logit: itself, and what choosing a token by its probability needs, in float64 too."""
USABLE_SHARE = 0.85
"""Share of the free memory that is planned with; the rest is left to the model's intermediate results."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a GPU's memory is used while answers are drawn.

    Attributes:
        rows: number of answers that are drawn at once.
        slots: number of tokens in all caches together.
    """

    rows: int
    slots: int


def cache_bytes_per_token(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Count the bytes of the keys and values of one token in all layers.

    Layers with a sliding window count in full, because answers are seldom longer than a window.

    Args:
        config: configuration of the model.
        dtype: dtype of keys and values.
    """
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * head_size * dtype.itemsize


def plan_memory(
    config: PreTrainedConfig,
    dtype: torch.dtype,
    free_bytes: int,
    *,
    num_answers: int,
    longest_prompt: int,
    longest_answer: int,
    rows: int | None = None,
) -> MemoryPlan:
    """Choose the number of rows and the size of their caches.

    Args:
        config: configuration of the model.
        dtype: dtype of keys and values.
        free_bytes: bytes that are free besides the weights.
        num_answers: number of answers in all.
        longest_prompt: largest number of tokens in a prompt.
        longest_answer: largest number of tokens in an answer.
        rows: number of rows, where the user sets it; None to choose it.

    Returns:
        The plan. Its slots may hold less than one answer.
    """
    per_token = cache_bytes_per_token(config, dtype)
    per_row = config.get_text_config(decoder=True).vocab_size * LOGIT_BYTES
    usable = int(USABLE_SHARE * free_bytes)
    typical = longest_prompt + min(longest_answer, TYPICAL_ANSWER_TOKENS)
    chosen = min(MOST_ROWS, usable // (typical * per_token + per_row)) if rows is None else rows
    chosen = max(1, min(chosen, num_answers))
    return MemoryPlan(rows=chosen, slots=max(0, usable - chosen * per_row) // per_token)


def free_bytes(model: PreTrainedModel) -> int:
    """Count the free bytes of the model's GPU, including the ones that PyTorch has reserved and not used."""
    kept = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    return torch.cuda.mem_get_info(model.device)[0] + kept
