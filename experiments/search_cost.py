"""What does scoring every interval cost, by the shared search and by one hybrid after the other?

Pairs of random weights, each method in a process of its own, one after the other in the same run. The search
scores all intervals, the loop an even sample of at most 80 of them, for each takes it the same time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slr.crc.cost import CostCase, measure_cases, print_costs
from slr.experiment_script import BAD_INPUT, STOPPED

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
    options = parser.parse_args(argv)
    cases = SMOKE if options.smoke else options.layers
    output_dir = options.output_dir or Path("results") / (
        "search_cost-smoke" if options.smoke else "search_cost"
    )
    try:
        print_costs(measure_cases(cases, output_dir / "search_cost.jsonl"))
    except KeyboardInterrupt:
        print(
            f"\nstopped; what is in {output_dir} is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return STOPPED
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _parse_layers(text: str) -> tuple[CostCase, ...]:
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected positive numbers")
    return tuple(CostCase(num_layers=number) for number in numbers)


if __name__ == "__main__":
    raise SystemExit(main())
