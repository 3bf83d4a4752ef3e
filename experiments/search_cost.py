"""What does scoring every interval cost, by the shared search and by one hybrid after the other?

Pairs of random weights, each method in a process of its own, one after the other in the same run. The search
scores all intervals, the loop an even sample of at most 80 of them, because each takes it the same time.

With --shape: one search of a pair that has exactly the shape of a real model, on a GPU; shortened on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slr.cli.options import Device, Wandb
from slr.costs.search_cost import CostCase, measure_cases, mirror_costs, print_costs
from slr.files.whole import write_whole
from slr.runs.device import choose_device_and_dtype
from slr.runs.output_lock import output_lock
from slr.runs.tracking import check_account
from slr.terminal.command_line import one_of, run_function, whole_numbers
from slr.terminal.stopping import say_when_stopped

SMOKE = (CostCase(num_layers=2, hidden_size=64, intermediate_size=128, num_prompts=2),)
SHAPES = ("llama-8b", "qwen-7b", "gemma-9b")
Layers = Annotated[str, typer.Option(help="comma-separated numbers of layers")]
OutputDir = Annotated[Path | None, typer.Option(help="results/search_cost by default, with -smoke if smoke")]
Smoke = Annotated[bool, typer.Option("--smoke", help="a tiny case, to see that it runs")]
Shape = Annotated[str | None, typer.Option(parser=one_of(SHAPES), metavar="|".join(SHAPES))]
Profile = Annotated[Path | None, typer.Option(help="for --shape: write what took longest here")]


def measure(
    layers: Layers = "12,24,32",
    output_dir: OutputDir = None,
    smoke: Smoke = False,
    shape: Shape = None,
    device: Device = None,
    profile: Profile = None,
    wandb: Wandb = "offline",
) -> None:
    """Measure what is missing, and print all of it."""
    output_dir = output_dir or Path("results") / ("search_cost-smoke" if smoke else "search_cost")
    say_when_stopped(f"what is in {output_dir} is kept, the same command goes on from there")
    if shape is not None:
        from slr.costs.shape_cost import measure_shape

        # Each call measures anew, because machines differ; the record goes to a file of its own.
        chosen, _ = choose_device_and_dtype(device, None)
        cost = measure_shape(shape, chosen, num_layers=1 if smoke else None, profile=profile)
        print(cost)
        write_whole(output_dir / f"{cost.record.pair}.jsonl", cost.record.model_dump_json() + "\n")
        return
    cases = SMOKE if smoke else [CostCase(num_layers=number) for number in whole_numbers(layers, "--layers")]
    with output_lock(output_dir):
        check_account(wandb, output_dir)
        print_costs(measure_cases(cases, output_dir / "search_cost.jsonl"))
        mirror_costs(cases, output_dir, wandb, smoke)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
