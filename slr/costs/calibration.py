"""Measure how fast a device computes what estimates of time are made from: forward passes, and sampling.

The model is random, of 0.1 billion parameters on a CPU and 2 billion on a GPU. The forward passes are a search's: the
selection prompts as one token tree, layer by layer. FLOP are 2 x parameters x tokens. Forward passes count the
parameters of the decoder layers alone, because a search computes few logits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import LlamaConfig, PreTrainedModel

from slr.costs.random_pairs import load_testbed_tokenizer, random_model
from slr.costs.shape_cost import DTYPE, shortened_shape
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts
from slr.crc.token_tree import TokenTree
from slr.crc.tree_forward import tree_log_probs, trees_of
from slr.models.decoder import decoder_layers
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
"""Number of answers that are sampled together."""


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
    prompts = torch.randint(5, config.vocab_size, (ROWS[kind], PROMPT_TOKENS))
    sampled = 2.0 * model.num_parameters() * len(prompts) * NEW_TOKENS[kind]
    return DeviceSpeed(
        forward=_forward_speed(model, seconds),
        sampling=sampled / _seconds_of_a_step(seconds, lambda: _sample(model, prompts, NEW_TOKENS[kind])),
        origin=f"measured on {describe_device(device)}",
    )


def _forward_speed(model: PreTrainedModel, seconds: float) -> float:
    encoded = encode_prompts(load_prompts("selection"), load_testbed_tokenizer())
    tokens = sum(len(TokenTree.build(prompts.token_ids)) for prompts, _ in trees_of(model, encoded))
    parameters = sum(weights.numel() for weights in decoder_layers(model).parameters())
    return 2.0 * parameters * tokens / _seconds_of_a_step(seconds, lambda: tree_log_probs(model, encoded))


def _sample(model: PreTrainedModel, tokens: torch.Tensor, new_tokens: int) -> None:
    # No token has the id that would end an answer, so all have one length.
    never = [model.config.get_text_config().vocab_size]
    settings = replace(SamplingConfig(), max_new_tokens=new_tokens)
    prompts = tokens.tolist()
    sample(model, load_testbed_tokenizer(), prompts, 1, settings, range(len(prompts)), end_tokens=never)


def _seconds_of_a_step(seconds: float, step: Callable[[], object]) -> float:
    step()  # libraries set themselves up
    began, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - began < seconds:
        step()
        steps += 1
    return (time.perf_counter() - began) / steps
