"""Measure the search against the plain loop on a pair of random weights, each in a process of its own.

A process of its own makes the peak memory the method's. Both methods are given the same pair and the same
prompts; the loop batches the prompts of one hybrid by their length.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slr.progress import progress_bar

if TYPE_CHECKING:
    from slr.checkpoints import ModelPair
    from slr.crc.scoring import EncodedPrompts
    from slr.crc.search import OnProgress

Method = Literal["shared", "loop"]


@dataclass(frozen=True, kw_only=True)
class CostCase:
    """The shape of a random Llama pair with the testbed's tokenizer, and how many prompts it is asked."""

    num_layers: int
    hidden_size: int = 256
    intermediate_size: int = 688
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    num_prompts: int = 40

    @property
    def pair_name(self) -> str:
        """Name of the pair in records."""
        return f"random-llama-{self.num_layers}x{self.hidden_size}"


@dataclass(frozen=True)
class Measurement:
    """What one method cost. Tokens are summed over layer evaluations; memory is the process's peak."""

    seconds: float
    num_intervals: int
    prompt_tokens: int
    layer_evaluations: int
    tokens_computed: int
    peak_memory_bytes: int
    threads: int


def measure(case: CostCase, method: Method) -> Measurement:
    """Score every interval of the case's pair by one method, in a new process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure_here, (case, method))


def _measure_here(case: CostCase, method: Method) -> Measurement:
    import torch

    from slr.crc.prompts import load_prompts
    from slr.crc.scoring import encode_prompts

    pair = random_pair(case)
    encoded = encode_prompts(load_prompts("selection")[: case.num_prompts], pair.tokenizer)
    run = _run_search if method == "shared" else _run_loop
    with progress_bar(f"{case.pair_name}: {method}") as on_progress:
        began = time.perf_counter()
        layer_evaluations, tokens_computed = run(pair, encoded, on_progress)
        seconds = time.perf_counter() - began
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Measurement(
        seconds=seconds,
        num_intervals=case.num_layers * (case.num_layers + 1) // 2,
        prompt_tokens=sum(len(tokens) for tokens in encoded.token_ids),
        layer_evaluations=layer_evaluations,
        tokens_computed=tokens_computed,
        peak_memory_bytes=unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        threads=torch.get_num_threads(),
    )


def random_pair(case: CostCase) -> ModelPair:
    """Two Llama models of the case's shape with random float32 weights."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from slr.checkpoints import ModelPair
    from slr.model_pairs import find_pair
    from slr.opening import open_checkpoint

    reference = find_pair("testbed-llama").instruct
    tokenizer = open_checkpoint(reference).tokenizer
    assert tokenizer is not None
    config = LlamaConfig(
        num_hidden_layers=case.num_layers,
        hidden_size=case.hidden_size,
        intermediate_size=case.intermediate_size,
        num_attention_heads=case.num_attention_heads,
        num_key_value_heads=case.num_key_value_heads,
        vocab_size=len(tokenizer),
    )
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        models.append(model.eval().requires_grad_(False))
    return ModelPair(
        name=case.pair_name,
        family="llama",
        base=reference,
        instruct=reference,
        base_model=models[0],
        instruct_model=models[1],
        tokenizer=tokenizer,
    )


def _run_search(pair: ModelPair, encoded: EncodedPrompts, on_progress: OnProgress) -> tuple[int, int]:
    from slr.crc.search import search

    counts = search(pair, encoded.prompts, on_progress=on_progress).counts
    return counts.layer_evaluations, counts.tokens_computed


def _run_loop(pair: ModelPair, encoded: EncodedPrompts, on_progress: OnProgress) -> tuple[int, int]:
    from slr.crc.scoring import score_model
    from slr.hybrid import restore
    from slr.intervals import all_intervals

    intervals = all_intervals(pair.num_layers)
    for done, interval in enumerate(intervals, start=1):
        score_model(restore(pair, interval), encoded)
        on_progress(done * pair.num_layers, len(intervals) * pair.num_layers)
    layer_evaluations = len(intervals) * pair.num_layers
    return layer_evaluations, layer_evaluations * sum(map(len, encoded.token_ids))
