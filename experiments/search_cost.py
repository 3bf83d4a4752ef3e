"""What does it cost to score every interval, by the shared search and by a loop over hybrids?

The pairs have random weights. Both methods run one after the other, each in its own process. The search scores all
intervals. The loop scores an even sample of at most 80 of them, because every hybrid takes it the same time.

With --shape, the script measures one search of a pair that has exactly the shape of a real model, on a GPU. On a CPU
the shape is shortened.
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
from slr.runs.wandb_files import check_account
from slr.terminal.command_line import numbers, one_of, run_function, whole_numbers
from slr.terminal.stopping import say_when_stopped

SMOKE = (CostCase(num_layers=2, hidden_size=64, intermediate_size=128, num_prompts=2, alphas=(0.5, 1.0)),)
SHAPES = ("llama-8b", "qwen-7b", "gemma-9b")
Layers = Annotated[str, typer.Option(metavar="N,...", help="numbers of layers of the pairs, comma-separated")]
Alphas = Annotated[
    str,
    typer.Option(
        metavar="NUMBERS",
        help="also search every interval at these alphas, such as 0.25,0.5,0.75,1: in one pass, and one by one",
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="directory for the records; by default results/search_cost, with -smoke in a smoke run",
    ),
]
Smoke = Annotated[bool, typer.Option("--smoke", help="measure a tiny case, to see that the script works")]
Shape = Annotated[
    str | None,
    typer.Option(parser=one_of(SHAPES), metavar="|".join(SHAPES), help="search a pair of this shape instead"),
]
Profile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="with --shape: write a profile of the search to this file")
]


def measure(
    layers: Layers = "12,24,32",
    alphas: Alphas = "",
    output_dir: OutputDir = None,
    smoke: Smoke = False,
    shape: Shape = None,
    device: Device = None,
    profile: Profile = None,
    wandb: Wandb = "offline",
) -> None:
    """Measure the cases that are not on record, and print all of them."""
    output_dir = output_dir or Path("results") / ("search_cost-smoke" if smoke else "search_cost")
    say_when_stopped(f"what is in {output_dir} is kept, the same command goes on from there")
    if shape is not None:
        from slr.costs.shape_cost import measure_shape

        # Each call measures anew, because machines differ. The record has its own file, so that no other one is lost.
        chosen, _ = choose_device_and_dtype(device, None)
        cost = measure_shape(shape, chosen, num_layers=1 if smoke else None, profile=profile)
        print(cost)
        write_whole(output_dir / f"{cost.record.pair}.jsonl", cost.record.model_dump_json() + "\n")
        return
    tried = numbers(alphas, "--alphas") if alphas else ()
    cases = [CostCase(num_layers=number, alphas=tried) for number in whole_numbers(layers, "--layers")]
    cases = SMOKE if smoke else cases
    with output_lock(output_dir):
        check_account(wandb, output_dir)
        print_costs(measure_cases(cases, output_dir / "search_cost.jsonl"))
        mirror_costs(cases, output_dir, wandb, smoke)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
