"""What does making a hybrid in memory cost, against copying the restored layers' weights?

A random Llama pair of hidden size 64; both methods in turn, medians over repetitions.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence

from slr.terminal.stopping import run_until_stopped


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print both."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=50)
    options = parser.parse_args(argv)

    from slr.costs.search_cost import CostCase, random_pair
    from slr.hybrid import restore
    from slr.intervals import LayerInterval
    from slr.models.decoder import decoder_layers

    pair = random_pair(CostCase(num_layers=options.layers, hidden_size=64, intermediate_size=128))
    interval = LayerInterval(0, options.layers)
    shared = _median(lambda: restore(pair, interval), options.repetitions)
    copied = _median(lambda: copy.deepcopy(decoder_layers(pair.base_model)), options.repetitions)
    print(
        f"{options.layers} layers: restore {1e3 * shared:.2f} ms, copying their weights {1e3 * copied:.2f} ms"
    )
    print(f"{copied / shared:.1f} times")
    return 0


def _median(work: Callable[[], object], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))
