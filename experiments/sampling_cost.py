"""How fast is sampling all samples of several prompts in one batch, against generate prompt by prompt?

An instruct model answers writing requests in float32, on the first GPU or else on the CPU. slr and generate, a method
of transformers, take turns. The tokens of an answer count up to the one that ends it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated

import typer

from slr.sampling.config import SamplingConfig
from slr.terminal.command_line import run_function
from slr.terminal.tables import print_table

SAMPLING = SamplingConfig(temperature=1.0, min_p=0.1, max_new_tokens=64)

Pair = Annotated[str, typer.Option(metavar="PAIR", help="a preset's pair, whose instruct model is used")]
Prompts = Annotated[int, typer.Option(min=1, metavar="N", help="number of writing requests")]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="number of samples of each request")]
PromptsInGroup = Annotated[
    int, typer.Option(min=1, metavar="N", help="number of requests in one batch of slr")
]
Repetitions = Annotated[int, typer.Option(min=1, metavar="N", help="number of runs of each method")]
Smoke = Annotated[bool, typer.Option("--smoke", help="measure a tiny case, to see that the script works")]


def measure(
    pair: Pair = "testbed-llama",
    prompts: Prompts = 16,
    samples: Samples = 32,
    prompts_in_group: PromptsInGroup = 8,
    repetitions: Repetitions = 3,
    smoke: Smoke = False,
) -> None:
    """Measure both methods in turn, and print every repetition and the ratio of the median speeds."""
    import torch
    import transformers

    from slr.costs.sampling_cost import time_sampling, writing_requests
    from slr.models.loading import load_pair

    # A smoke run overrides the other options, so that it is always fast.
    if smoke:
        prompts, samples, prompts_in_group, repetitions = 3, 2, 2, 1
    requests = writing_requests(prompts)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    loaded = load_pair(pair, dtype=torch.float32, device=device)
    timings = time_sampling(
        loaded, requests, samples, SAMPLING, prompts_in_group=prompts_in_group, repetitions=repetitions
    )
    print(
        f"{pair} on {device}, {torch.get_num_threads()} threads, transformers {transformers.__version__}: "
        f"{samples} samples of {prompts} prompts, slr in groups of {prompts_in_group}"
    )
    rows = [(of.method, of.num_tokens, f"{of.seconds:.2f}", f"{of.tokens_per_second:.0f}") for of in timings]
    print_table(("method", "tokens", "seconds", "tokens/s"), rows)
    ours, theirs = (
        statistics.median(of.tokens_per_second for of in timings if of.method == method)
        for method in ("slr", "generate")
    )
    print(f"medians: slr {ours:.0f} tokens/s, generate {theirs:.0f} tokens/s, ratio {ours / theirs:.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
