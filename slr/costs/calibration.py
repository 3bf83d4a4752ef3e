"""Measure how fast a device computes what estimates of time are made from: forward passes, and sampling.

The model is random, of 0.1 billion parameters on a CPU and 2 billion on a GPU. FLOP are counted as for cells: 2 x
parameters x tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import LlamaConfig, PreTrainedModel

from slr.costs.random_pairs import load_testbed_tokenizer, random_model
from slr.costs.shape_cost import DTYPE, shortened_shape
from slr.runs.provenance import describe_device
from slr.runs.speed import DeviceSpeed
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import sample

SECONDS = 10.0
"""Least time of each of both measurements in seconds."""
CPU_SHAPE = LlamaConfig(
    num_hidden_layers=30,
    hidden_size=576,
    intermediate_size=1536,
    num_attention_heads=9,
    num_key_value_heads=3,
    vocab_size=49_152,
    tie_word_embeddings=True,
)
"""The shape of SmolLM2-135M."""
GPU_LAYERS = 8
"""Number of layers that are left of Llama-8B's shape on a GPU."""
PROMPT_TOKENS = 64
NEW_TOKENS = {"cpu": 32, "cuda": 256}
ROWS = {"cpu": 64, "cuda": 1024}
"""Number of sequences of a forward pass, and of answers that are sampled."""


def calibrate(device: str, seconds: float | None = None) -> DeviceSpeed:
    """Measure the speeds of a device with the number of threads that this process has.

    Args:
        device: a CPU or a CUDA device.
        seconds: least time of each measurement in seconds; None for ``SECONDS``. A step begun before is ended.

    Returns:
        The speeds, with the device's description.
    """
    seconds = SECONDS if seconds is None else seconds
    kind = torch.device(device).type
    config = shortened_shape("llama-8b", device, GPU_LAYERS) if kind == "cuda" else CPU_SHAPE
    model = random_model(config, device, DTYPE[kind], 0)
    tokens = torch.randint(5, config.vocab_size, (ROWS[kind], PROMPT_TOKENS), device=device)
    return DeviceSpeed(
        forward=_flops_per_second(model, tokens.numel(), seconds, lambda: _forward(model, tokens)),
        sampling=_flops_per_second(
            model, len(tokens) * NEW_TOKENS[kind], seconds, lambda: _sample(model, tokens, NEW_TOKENS[kind])
        ),
        origin=f"measured on {describe_device(device)}",
    )


def _forward(model: PreTrainedModel, tokens: torch.Tensor) -> None:
    # A search needs logits of a few positions only.
    with torch.inference_mode():
        model(input_ids=tokens, logits_to_keep=1)
    if tokens.is_cuda:
        torch.cuda.synchronize(tokens.device)


def _sample(model: PreTrainedModel, tokens: torch.Tensor, new_tokens: int) -> None:
    # No token has the id that would end an answer, so all have one length.
    never = [model.config.get_text_config().vocab_size]
    settings = replace(SamplingConfig(), max_new_tokens=new_tokens)
    prompts = tokens.tolist()
    sample(model, load_testbed_tokenizer(), prompts, 1, settings, range(len(prompts)), end_tokens=never)


def _flops_per_second(
    model: PreTrainedModel, num_tokens: int, seconds: float, step: Callable[[], None]
) -> float:
    step()  # libraries set themselves up
    began, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - began < seconds:
        step()
        steps += 1
    return 2.0 * model.num_parameters() * num_tokens * steps / (time.perf_counter() - began)
