"""Cost of the shared search against a plain loop over hybrids, and of several alphas in one pass.

Pairs have random weights. Each method runs in its own process, so that the process's peak memory is the method's. All
methods get the same pair and the same prompts. The loop batches the prompts of one hybrid by their length.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slr.crc.cost import measured_cost
from slr.crc.report import cost_summary
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import Experiment, RunMirror
from slr.runs.modes import WandbMode
from slr.runs.provenance import config_hash, describe_device, provenance
from slr.runs.records import SearchCost, SearchMethod
from slr.runs.results_store import ResultsStore
from slr.runs.tracking import mirror_pair
from slr.terminal.progress import OnProgress, progress_bar
from slr.terminal.stopping import die_with_parent
from slr.terminal.tables import print_table

if TYPE_CHECKING:
    from transformers import LlamaConfig

    from slr.crc.scoring import EncodedPrompts
    from slr.models.loading import ModelPair


@dataclass(frozen=True, kw_only=True)
class CostCase:
    """The shape of a random Llama pair with the testbed's tokenizer, and the number of prompts.

    Attributes:
        num_layers: number of decoder layers.
        hidden_size: width of the hidden states.
        intermediate_size: width of the MLPs.
        num_attention_heads: number of query heads.
        num_key_value_heads: number of key and value heads.
        num_prompts: number of selection prompts.
        alphas: alphas at which every interval is scored too, in one pass and by a search for each; () for none.
        max_loop_hybrids: largest number of hybrids that the loop scores. It takes the same time for every
            hybrid, so an even sample of them is enough.
    """

    num_layers: int
    hidden_size: int = 256
    intermediate_size: int = 688
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    num_prompts: int = 40
    alphas: tuple[float, ...] = ()
    max_loop_hybrids: int = 80

    @property
    def pair_name(self) -> str:
        """Name of the pair in records."""
        return f"random-llama-{self.num_layers}x{self.hidden_size}"

    @property
    def methods(self) -> tuple[SearchMethod, ...]:
        """What is measured, in order."""
        return ("shared", "loop", "one_pass", "one_by_one") if self.alphas else ("shared", "loop")

    @property
    def config(self) -> LlamaConfig:
        """Configuration of this shape for transformers, with the testbed's vocabulary."""
        from transformers import LlamaConfig

        from slr.costs.random_pairs import load_testbed_tokenizer

        return LlamaConfig(
            num_hidden_layers=self.num_layers,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            vocab_size=len(load_testbed_tokenizer()),
        )


def measure_cases(cases: Sequence[CostCase], path: Path) -> list[SearchCost]:
    """Measure every method on each case, and record what is not on record yet.

    Returns:
        All records of the file, earlier ones included.
    """
    store = ResultsStore(path)
    for case in cases:
        for method in case.methods:
            if SearchCost.key_of(case.pair_name, method) not in store.keys():  # noqa: SIM118 - a store is no dict
                store.append([measure(case, method)])
    return [record for record in store.read() if isinstance(record, SearchCost)]


def measure(case: CostCase, method: SearchMethod) -> SearchCost:
    """Score the intervals of the case's pair with one method, in a new process."""
    # A forked process would start with this process's memory, which would count as the method's.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure_here, (case, method, os.getpid()))


def mirror_costs(cases: Sequence[CostCase], output_dir: Path, mode: WandbMode, smoke: bool) -> None:
    """Mirror the records of ``output_dir/search_cost.jsonl`` to W&B, with one run for each case.

    Args:
        cases: cases whose records are mirrored.
        output_dir: directory in which ``measure_cases`` wrote the records.
        mode: whether W&B is used, and how.
        smoke: whether the runs are marked as smoke runs.
    """
    for case in cases:
        random_weights = ModelReference(case.pair_name)
        spec = PairSpec(
            name=case.pair_name,
            family="llama",
            base=random_weights,
            instruct=random_weights,
            num_layers=case.num_layers,
            num_parameters=None,
        )
        mirror_pair(cost_experiment(case), spec, output_dir, mode, smoke=smoke)


def cost_experiment(case: CostCase) -> Experiment[CostCase]:
    """Describe a case to the W&B mirror; it has no cells, because each method is measured in its own process."""
    return Experiment(
        name="search_cost",
        question="What does scoring every interval cost?",
        config=case,
        cells=lambda _spec: [],
        job_type="cost",
        mirror=lambda records, _pair: RunMirror(summary=cost_summary(records), tables={}),
    )


def print_costs(costs: Sequence[SearchCost]) -> None:
    """Print a table with a row for each case.

    It shows the time, hybrids and peak memory of both methods, and the ratio of their times for one hybrid.
    """
    by_pair = {(cost.pair, cost.method): cost for cost in costs}
    rows = []
    for pair in dict.fromkeys(cost.pair for cost in costs):
        shared, loop = by_pair[pair, "shared"], by_pair[pair, "loop"]
        ratio = loop.seconds_per_interval / shared.seconds_per_interval
        rows.append((pair, *_cells_of(shared), *_cells_of(loop), f"{ratio:.1f}"))
    each = ("seconds", "hybrids", "peak MB")
    columns = ("pair", *(f"{method}: {name}" for method in ("search", "loop") for name in each), "ratio")
    print_table(columns, rows)
    print_costs_of_alphas(costs)


def print_costs_of_alphas(costs: Sequence[SearchCost]) -> None:
    """Print a row for each case in which several alphas were searched in one pass and one by one."""
    by_pair = {(cost.pair, cost.method): cost for cost in costs}
    rows = []
    for (pair, method), one_pass in by_pair.items():
        if method == "one_pass":
            each = by_pair[pair, "one_by_one"]
            rows.append(
                (
                    pair,
                    f"{one_pass.seconds:.1f} / {each.seconds:.1f}",
                    f"{one_pass.layer_evaluations} / {each.layer_evaluations}",
                    f"{one_pass.tokens_computed} / {each.tokens_computed}",
                    f"{(one_pass.peak_memory_bytes or 0) / 1e6:.0f} / {(each.peak_memory_bytes or 0) / 1e6:.0f}",
                )
            )
    if rows:
        print_table(
            ("several alphas: one pass / a search each", "seconds", "layer evaluations", "tokens", "peak MB"),
            rows,
        )


def _cells_of(cost: SearchCost) -> tuple[str, str, str]:
    return f"{cost.seconds:.1f}", str(cost.num_intervals), f"{(cost.peak_memory_bytes or 0) / 1e6:.0f}"


def _measure_here(case: CostCase, method: SearchMethod, parent: int) -> SearchCost:
    die_with_parent(parent)
    from slr.costs.random_pairs import random_pair
    from slr.crc.prompts import load_prompts
    from slr.crc.scoring import encode_prompts

    pair = random_pair(case.pair_name, case.config)
    encoded = encode_prompts(load_prompts("selection")[: case.num_prompts], pair.tokenizer)
    run = _RUNS[method]
    # Libraries set themselves up in the first calls, which is not part of either method.
    run(pair, encoded.subset([0, 1]), case, lambda _done, _total: None)
    with progress_bar(f"{case.pair_name}: {method}") as on_progress:
        began = time.perf_counter()
        num_intervals, layer_evaluations, tokens_computed = run(pair, encoded, case, on_progress)
        seconds = time.perf_counter() - began
    key = f"{case.pair_name}/{method}"
    return measured_cost(
        pair,
        encoded,
        header={
            "experiment": "search_cost",
            "pair": case.pair_name,
            "provenance": provenance(key, config_hash(case, "float32"), describe_device("cpu")),
        },
        device="cpu",
        method=method,
        num_intervals=num_intervals,
        seconds=seconds,
        layer_evaluations=layer_evaluations,
        tokens_computed=tokens_computed,
    )


def _run_search(
    pair: ModelPair, encoded: EncodedPrompts, _case: CostCase, on_progress: OnProgress
) -> tuple[int, int, int]:
    """Run the search; return the numbers of intervals, layer evaluations, and tokens computed."""
    from slr.crc.search import search

    result = search(pair, encoded.prompts, on_progress=on_progress)
    return len(result.intervals), result.counts.layer_evaluations, result.counts.tokens_computed


def _run_one_pass(
    pair: ModelPair, encoded: EncodedPrompts, case: CostCase, on_progress: OnProgress
) -> tuple[int, int, int]:
    """Search all alphas in one pass; return the same numbers as ``_run_search``."""
    from slr.crc.search import search

    result = search(pair, encoded.prompts, alphas=case.alphas, on_progress=on_progress)
    return len(result.intervals), result.counts.layer_evaluations, result.counts.tokens_computed


def _run_one_by_one(
    pair: ModelPair, encoded: EncodedPrompts, case: CostCase, on_progress: OnProgress
) -> tuple[int, int, int]:
    """Search one alpha after the other; return the same numbers as ``_run_search``."""
    from slr.crc.search import search

    results = [
        search(pair, encoded.prompts, alphas=(alpha,), on_progress=on_progress) for alpha in case.alphas
    ]
    return (
        sum(len(result.intervals) for result in results),
        sum(result.counts.layer_evaluations for result in results),
        sum(result.counts.tokens_computed for result in results),
    )


def _run_loop(
    pair: ModelPair, encoded: EncodedPrompts, case: CostCase, on_progress: OnProgress
) -> tuple[int, int, int]:
    """Run the loop; return the same numbers as ``_run_search``."""
    from slr.crc.scoring import score_model
    from slr.hybrid import restore
    from slr.intervals import all_intervals

    intervals = all_intervals(pair.num_layers)
    intervals = intervals[:: math.ceil(len(intervals) / case.max_loop_hybrids)]
    for done, interval in enumerate(intervals, start=1):
        score_model(restore(pair, interval), encoded)
        on_progress(done * pair.num_layers, len(intervals) * pair.num_layers)
    layer_evaluations = len(intervals) * pair.num_layers
    return len(intervals), layer_evaluations, layer_evaluations * sum(map(len, encoded.token_ids))


_RUNS = {"shared": _run_search, "loop": _run_loop, "one_pass": _run_one_pass, "one_by_one": _run_one_by_one}
