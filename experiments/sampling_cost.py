"""How fast is sampling all samples of several prompts in one batch, against generate prompt by prompt?

An instruct model answers writing requests in float32, on the first GPU or else on the CPU. slr and generate, a method
of transformers, take turns. The tokens of an answer count up to the one that ends it.

With --shape, one random model has exactly the shape of a real model, in bfloat16 on a GPU and shortened on a CPU, and
each answer ends at a length of its own. Measured are refilled rows by memory, fixed batches of 64 rows, generate, and
transformers' continuous batching, each for the same number of seconds.
"""

from __future__ import annotations

import faulthandler
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from slr.sampling.config import SamplingConfig
from slr.terminal.command_line import one_of, run_function
from slr.terminal.tables import print_table

SAMPLING = SamplingConfig(temperature=1.0, min_p=0.1, max_new_tokens=64)

Pair = Annotated[str, typer.Option(metavar="PAIR", help="a preset's pair, whose instruct model is used")]
Prompts = Annotated[int, typer.Option(min=1, metavar="N", help="number of writing requests")]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="number of samples of each request")]
PromptsInGroup = Annotated[
    int, typer.Option(min=1, metavar="N", help="number of requests in one batch of slr")
]
Repetitions = Annotated[int, typer.Option(min=1, metavar="N", help="number of runs of each method")]
SHAPES = ("llama-8b", "qwen-7b", "gemma-9b")
LENGTHS = ("realistic", "equal")
METHODS = ("refilled", "fixed", "generate", "continuous")
ALL_METHODS = ",".join(METHODS)
SECONDS_BESIDE = 60.0
"""Time for making the model and setting methods up, after which a method that hangs is ended."""

Shape = Annotated[
    str | None,
    typer.Option(parser=one_of(SHAPES), metavar="|".join(SHAPES), help="sample from a model of this shape"),
]
LengthsOption = Annotated[
    str,
    typer.Option(
        parser=one_of(LENGTHS), metavar="|".join(LENGTHS), help="with --shape: lengths of the answers"
    ),
]
Methods = Annotated[str, typer.Option(metavar="NAME,...", help="with --shape: what is measured")]
Seconds = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="with --shape: time of each method in seconds")
]
Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="with --shape: also append every line to this file")
]
Smoke = Annotated[bool, typer.Option("--smoke", help="measure a tiny case, to see that the script works")]


def measure(
    pair: Pair = "testbed-llama",
    prompts: Prompts = 16,
    samples: Samples = 32,
    prompts_in_group: PromptsInGroup = 8,
    repetitions: Repetitions = 3,
    smoke: Smoke = False,
    shape: Shape = None,
    lengths: LengthsOption = "realistic",
    methods: Methods = ALL_METHODS,
    seconds: Seconds = 22.0,
    output: Output = None,
) -> None:
    """Measure both methods in turn, and print every repetition and the ratio of the median speeds."""
    if shape is not None:
        _measure_shape(shape, lengths, methods.split(","), seconds, output, 1 if smoke else None)
        return
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


def _measure_shape(
    shape: str,
    lengths: str,
    methods: Sequence[str],
    seconds: float,
    output: Path | None,
    num_layers: int | None,
) -> None:
    import torch
    import transformers

    from slr.costs.sampling_shape import Lengths, Method, iter_speeds
    from slr.runs.provenance import describe_device

    if unknown := set(methods) - set(METHODS):
        raise ValueError(f"--methods has {min(unknown)!r}, expected some of {', '.join(METHODS)}")
    if "continuous" in methods:
        # It runs in a thread of its own, which may hang; all other lines are printed by then.
        assert sys.__stderr__ is not None
        limit = SECONDS_BESIDE + len(methods) * seconds
        faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    _say(
        f"{shape}, {lengths} lengths, on {describe_device(device)}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}",
        output,
    )
    named = cast("list[Method]", list(methods))
    for speed in iter_speeds(shape, device, named, seconds, cast("Lengths", lengths), num_layers):
        _say(str(speed), output)
    faulthandler.cancel_dump_traceback_later()


def _say(line: str, output: Path | None) -> None:
    """Print a line at once, and append it to the file, so that nothing is lost when the process is ended."""
    print(line, flush=True)
    if output is not None:
        with output.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
