"""What does it cost to make a hybrid in memory, against copying the weights of the restored layers?

The pair is a random Llama pair of hidden size 64. Each method runs several times, and the medians are printed.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from slr.terminal.command_line import run_function
from slr.terminal.tables import print_table


def measure(
    layers: Annotated[int, typer.Option(min=1, metavar="N", help="number of decoder layers")] = 32,
    repetitions: Annotated[int, typer.Option(min=1, metavar="N", help="number of runs of each method")] = 50,
) -> None:
    """Measure both methods, and print their median times and the ratio."""
    from slr.costs.random_pairs import random_pair
    from slr.costs.search_cost import CostCase
    from slr.hybrid import restore
    from slr.intervals import LayerInterval
    from slr.models.decoder import decoder_layers

    case = CostCase(num_layers=layers, hidden_size=64, intermediate_size=128)
    pair = random_pair(case.pair_name, case.config)
    # All layers are restored, so that both methods handle the same layers.
    interval = LayerInterval(0, layers)
    shared = _median(lambda: restore(pair, interval), repetitions)
    copied = _median(lambda: copy.deepcopy(decoder_layers(pair.base_model)), repetitions)
    print_table(
        ("method", "ms", "times restore"),
        [
            ("restore", f"{1e3 * shared:.2f}", "1.0"),
            ("copy the weights", f"{1e3 * copied:.2f}", f"{copied / shared:.1f}"),
        ],
        title=f"{layers} layers",
    )


def _median(work: Callable[[], object], repetitions: int) -> float:
    """Measure the median of the seconds that a function takes."""
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
