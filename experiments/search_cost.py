"""What does scoring every interval cost, by the shared search and by one hybrid after the other?

Pairs of random weights, each method in a process of its own, one after the other in the same run. The loop
scores every hybrid too, so at 32 layers this takes a while: about ten minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from slr.crc.cost import CostCase, measure_cases, print_costs

CASES = tuple(CostCase(num_layers=num_layers) for num_layers in (12, 24, 32))
SMOKE = (CostCase(num_layers=2, hidden_size=64, intermediate_size=128, num_prompts=2),)


def main(argv: list[str] | None = None) -> int:
    """Measure what is missing, and print all of it."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--layers", help="comma-separated numbers of layers, such as 12,24; all by default")
    parser.add_argument("--output-dir", type=Path, default=Path("results/search_cost"))
    parser.add_argument("--smoke", action="store_true", help="a tiny case, to see that it runs")
    options = parser.parse_args(argv)
    cases = SMOKE if options.smoke else CASES
    if options.layers is not None:
        cases = tuple(CostCase(num_layers=int(number)) for number in options.layers.split(","))
    print_costs(measure_cases(cases, options.output_dir / "search_cost.jsonl"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
