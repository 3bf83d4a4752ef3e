"""Cost of one whole search of a pair in a real model's shape, against the device's peak speed and the best plain loop.

The weights are random and made on the device, in bfloat16 on a GPU and in float32 on a CPU. The prompts are the
real ones. The testbed's tokenizer encodes them, because no tokenizer is downloaded: the cost of a search depends on
the number of tokens, and not on which tokens they are.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Gemma2Config, LlamaConfig, PreTrainedConfig, Qwen2Config

from slr.costs.random_pairs import random_pair
from slr.crc.cost import measured_cost
from slr.crc.prompts import load_prompts
from slr.crc.scoring import EncodedPrompts, answer_log_probs, encode_prompts
from slr.crc.search import count_tokens_computed, iter_search
from slr.crc.tree_forward import memory_budget
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.loading import ModelPair
from slr.runs.device import matrix_flops_per_second
from slr.runs.provenance import config_hash, describe_device, provenance, reset_peak_memory
from slr.runs.records import SearchCost
from slr.terminal.progress import progress_bar

SHAPES: dict[str, PreTrainedConfig] = {
    "llama-8b": LlamaConfig(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=14_336,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128_256,
        max_position_embeddings=131_072,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "qwen-7b": Qwen2Config(
        num_hidden_layers=28,
        hidden_size=3584,
        intermediate_size=18_944,
        num_attention_heads=28,
        num_key_value_heads=4,
        vocab_size=152_064,
        max_position_embeddings=131_072,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    ),
    "gemma-9b": Gemma2Config(
        num_hidden_layers=42,
        hidden_size=3584,
        intermediate_size=14_336,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=4096,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        vocab_size=256_000,
        tie_word_embeddings=True,
    ),
}
"""Configurations of Llama-3.1-8B, Qwen2.5-7B and Gemma-2-9b, by the names of their shapes."""

CPU_LAYERS = 3
CPU_PROMPTS = 2
CPU_VOCABULARY = 8192
"""Numbers of layers, prompts and tokens that are left of a shape on a CPU; its widths stay."""

WARM_UP_STARTS = 8
"""Number of start layers that warm up the search. They are the last ones: few evaluations, but full-size calls."""

LOOP_REPETITIONS = 7
"""Number of hybrids that the plain loop is timed on."""

DTYPE = {"cpu": torch.float32, "cuda": torch.bfloat16}
"""The dtype in which each kind of device computes well."""


@dataclass(frozen=True, kw_only=True)
class ShapeCost:
    """Cost of one search.

    Attributes:
        record: time, memory and counts of the search.
        flops: floating-point operations of the matrix products. They are an upper bound, because they count all tokens
            at the last layer.
        peak_flops_per_second: speed of a large matrix product on the same device.
        hybrid_seconds: time of the plain loop for one hybrid in seconds, with all prompts in one padded batch.
        shortened: in words, what the shape was shortened to; None if it is whole.
    """

    record: SearchCost
    flops: float
    peak_flops_per_second: float
    hybrid_seconds: float
    shortened: str | None

    def __str__(self) -> str:
        """Describe the search and its cost in a few lines."""
        record, peak = self.record, self.peak_flops_per_second
        speed = self.flops / record.seconds
        loop = self.hybrid_seconds * record.num_intervals
        lines = [
            f"{record.pair} on {record.provenance.device}: random {record.dtype} weights, "
            f"{record.num_intervals} intervals, {record.num_prompts} prompts of {record.prompt_tokens:,} tokens "
            "by the testbed's tokenizer",
            f"  {record.seconds:.1f} s; {record.tokens_computed:,} tokens through a layer, "
            f"{self.flops / 1e12:,.1f} TFLOP",
            f"  {speed / 1e12:.2f} TFLOP/s, {speed / peak:.0%} of a large matrix product's {peak / 1e12:.2f} TFLOP/s",
            f"  the plain loop, with padded prompts, takes {self.hybrid_seconds * 1000:.1f} ms for one hybrid: "
            f"{loop:.1f} s for {record.num_intervals}, {loop / record.seconds:.1f} times the search",
            f"  peak memory {(record.peak_memory_bytes or 0) / 1e9:.1f} GB",
        ]
        return "\n".join([*([f"SHORTENED {self.shortened}"] if self.shortened else []), *lines])


@dataclass(frozen=True, kw_only=True)
class ShapeSettings:
    """The settings from which a record's configuration hash is made.

    Attributes:
        config: configuration of the models, as JSON.
        num_prompts: number of prompts.
    """

    config: str
    num_prompts: int


def measure_shape(
    name: str, device: str, profile: Path | None = None, num_layers: int | None = None
) -> ShapeCost:
    """Search a random pair of a shape once and measure it.

    On a CPU the shape is shortened.

    Args:
        name: name of the shape in ``SHAPES``.
        device: device to search on, such as ``cuda:0``.
        profile: file for the table of torch's profiler, under which the search runs once more; None for no profile.
        num_layers: number of layers, if fewer than the shape has; for smoke runs and tests.

    Raises:
        OSError: if the profile cannot be written.
    """
    config, num_prompts, shortened = _case(SHAPES[name], device, num_layers)
    pair = random_pair(
        f"random-{name}-{config.num_hidden_layers}-layers", config, device, DTYPE[torch.device(device).type]
    )
    encoded = encode_prompts(load_prompts("selection")[:num_prompts], pair.tokenizer)
    budget = memory_budget(pair.instruct_model)
    # In the first calls libraries set themselves up, and memory is set apart for calls of full size.
    late = range(max(0, pair.num_layers - WARM_UP_STARTS), pair.num_layers)
    list(iter_search(pair, encoded, starts=late, memory_budget_bytes=budget))
    peak_speed = matrix_flops_per_second(device, DTYPE[torch.device(device).type])
    reset_peak_memory(device)
    with progress_bar(pair.name) as on_progress:
        began = time.perf_counter()
        list(iter_search(pair, encoded, memory_budget_bytes=budget, on_progress=on_progress))
        seconds = time.perf_counter() - began
    record = _record(pair, encoded, device, budget, seconds)
    if profile is not None:
        _write_profile(pair, encoded, budget, profile)
    return ShapeCost(
        record=record,
        flops=_count_flops(config, record),
        peak_flops_per_second=peak_speed,
        hybrid_seconds=_seconds_of_a_hybrid(pair, encoded),
        shortened=shortened,
    )


def _seconds_of_a_hybrid(pair: ModelPair, encoded: EncodedPrompts) -> float:
    """Measure the plain loop at its best on one hybrid, as the median of several forwards."""
    hybrid = restore(pair, LayerInterval(0, pair.num_layers // 2))
    seconds: list[float] = []
    # The first forward is not counted, because libraries set themselves up in it.
    for _ in range(LOOP_REPETITIONS + 1):
        began = time.perf_counter()
        answer_log_probs(hybrid, encoded, pad=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def shortened_shape(name: str, device: str, num_layers: int | None = None) -> PreTrainedConfig:
    """Return a shape's configuration, which is shortened on a CPU.

    Args:
        name: name of the shape in ``SHAPES``.
        device: device that will compute.
        num_layers: number of layers, if fewer than the shape has.
    """
    return _case(SHAPES[name], device, num_layers)[0]


def _case(
    shape: PreTrainedConfig, device: str, num_layers: int | None
) -> tuple[PreTrainedConfig, int, str | None]:
    """Return the configuration, the number of prompts, and in words what the shape is shortened to."""
    config = copy.deepcopy(shape)
    num_prompts = len(load_prompts("selection"))
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu:
        num_layers, num_prompts = num_layers or CPU_LAYERS, CPU_PROMPTS
        config.vocab_size = CPU_VOCABULARY
    if num_layers is None:
        return config, num_prompts, None
    config.num_hidden_layers = num_layers
    # The list of layer types must be as long as the number of layers.
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:num_layers]
    why = "for a CPU " if on_cpu else ""
    return (
        config,
        num_prompts,
        (
            f"{why}to {num_layers} layers and {num_prompts} prompts, of {shape.num_hidden_layers} and "
            f"{len(load_prompts('selection'))}, with a vocabulary of {config.vocab_size:,}"
        ),
    )


def _count_flops(config: PreTrainedConfig, record: SearchCost) -> float:
    """Count the operations of a layer's four attention and three MLP matrices for every token, and of the LM head."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries, keys = (heads * head_dim for heads in (config.num_attention_heads, config.num_key_value_heads))
    layer_weights = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    head_rows = record.num_intervals * record.num_prompts
    head_weights = config.hidden_size * config.vocab_size
    # Each weight takes one multiplication and one addition.
    return 2 * (layer_weights * record.tokens_computed + head_weights * head_rows)


def _record(pair: ModelPair, encoded: EncodedPrompts, device: str, budget: int, seconds: float) -> SearchCost:
    config = pair.instruct_model.config
    settings = ShapeSettings(config=config.to_json_string(use_diff=True), num_prompts=len(encoded.prompts))
    layer_evaluations, tokens_computed = count_tokens_computed(pair, encoded, budget)
    dtype = str(pair.instruct_model.dtype).removeprefix("torch.")
    source = provenance(f"{pair.name}/shape", config_hash(settings, dtype), describe_device(device))
    return measured_cost(
        pair,
        encoded,
        header={"experiment": "search_cost", "pair": pair.name, "provenance": source},
        device=device,
        seconds=seconds,
        layer_evaluations=layer_evaluations,
        tokens_computed=tokens_computed,
    )


def _write_profile(pair: ModelPair, encoded: EncodedPrompts, budget: int, path: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    on_gpu = pair.instruct_model.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as profiler:
        list(iter_search(pair, encoded, memory_budget_bytes=budget))
    by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(profiler.key_averages().table(sort_by=by, row_limit=40), encoding="utf-8")
