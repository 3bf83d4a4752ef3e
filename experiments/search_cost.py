"""What does scoring every interval cost, by the shared search and by one hybrid after the other?

Pairs of random weights, each method in a process of its own, one after the other in the same run. The search
scores all intervals, the loop an even sample of at most 80 of them, for each takes it the same time.

With --shape: one search of a pair that has exactly the shape of a real model, on a GPU; shortened on a CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from slr.costs.search_cost import CostCase, measure_cases, mirror_costs, print_costs
from slr.runs.device import choose_device_and_dtype
from slr.runs.output_lock import output_lock
from slr.runs.tracking import WandbMode, check_account
from slr.terminal.bad_input import BAD_INPUT, print_error
from slr.terminal.stopping import run_until_stopped

CASES = tuple(CostCase(num_layers=num_layers) for num_layers in (12, 24, 32))
SMOKE = (CostCase(num_layers=2, hidden_size=64, intermediate_size=128, num_prompts=2),)


def main(argv: list[str] | None = None) -> int:
    """Measure what is missing, and print all of it."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    layers = ",".join(str(case.num_layers) for case in CASES)
    parser.add_argument(
        "--layers", type=_parse_layers, default=layers, help="comma-separated numbers of layers"
    )
    parser.add_argument(
        "--output-dir", type=Path, help="results/search_cost by default, with -smoke if smoke"
    )
    parser.add_argument("--smoke", action="store_true", help="a tiny case, to see that it runs")
    parser.add_argument(
        "--shape", choices=["llama-8b", "qwen-7b", "gemma-9b"], help="search this shape instead"
    )
    parser.add_argument(
        "--device", help="for --shape: such as cuda:0; the first GPU by default, else the CPU"
    )
    parser.add_argument("--profile", type=Path, help="for --shape: write what took longest here")
    parser.add_argument("--wandb", choices=get_args(WandbMode), default="offline", help="mirror to W&B")
    options = parser.parse_args(argv)
    cases = SMOKE if options.smoke else options.layers
    output_dir = options.output_dir or Path("results") / (
        "search_cost-smoke" if options.smoke else "search_cost"
    )
    how_to_go_on = f"what is in {output_dir} is kept, the same command goes on from there"
    return run_until_stopped(lambda: _measure(options, cases, output_dir), how_to_go_on)


def _measure(options: argparse.Namespace, cases: Sequence[CostCase], output_dir: Path) -> int:
    try:
        if options.shape is not None:
            return _measure_shape(options, output_dir)
        with output_lock(output_dir):
            check_account(options.wandb, output_dir)
            print_costs(measure_cases(cases, output_dir / "search_cost.jsonl"))
            mirror_costs(cases, output_dir, options.wandb, options.smoke)
    except (ValueError, OSError) as error:
        print_error(error)
        return BAD_INPUT
    return 0


def _measure_shape(options: argparse.Namespace, output_dir: Path) -> int:
    """Each call measures anew, for machines differ; the record goes to a file of its own."""
    from slr.costs.shape_cost import measure_shape

    device, _ = choose_device_and_dtype(options.device, None)
    cost = measure_shape(
        options.shape, device, num_layers=1 if options.smoke else None, profile=options.profile
    )
    print(cost)
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / f"{cost.record.pair}.jsonl"
    path.write_text(cost.record.model_dump_json() + "\n", encoding="utf-8")
    return 0


def _parse_layers(text: str) -> tuple[CostCase, ...]:
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected positive numbers")
    return tuple(CostCase(num_layers=number) for number in numbers)


if __name__ == "__main__":
    raise SystemExit(main())
