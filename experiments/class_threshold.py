"""From which cosine similarity of their embeddings do two texts say the same?

The texts are 36 answers to 12 requests, each in two wordings. The table has the share of wordings of one answer that a
threshold takes for different (split), and the share of different answers to one request that it takes for the same
(joined). The chosen threshold has the smallest mean of both, and
is the highest of equal ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from slr.costs.class_threshold import best_threshold, errors_at, measure_similarities
from slr.metrics.semantic import SentenceEncoder
from slr.terminal.command_line import run_function
from slr.terminal.tables import print_table

THRESHOLDS = tuple(percent / 100 for percent in range(40, 96))


def measure() -> None:
    """Print the errors at several thresholds, and the threshold with the fewest."""
    similarities = measure_similarities(SentenceEncoder())
    best = best_threshold(similarities, THRESHOLDS)
    shown = sorted({*THRESHOLDS[::5], best})
    rows = [
        (f"{errors.threshold:.2f}", f"{errors.split:.3f}", f"{errors.joined:.3f}", f"{errors.balanced:.3f}")
        for errors in (errors_at(similarities, threshold) for threshold in shown)
    ]
    numbers = f"{len(similarities.same)} pairs that say the same, {len(similarities.different)} that do not"
    print_table(("threshold", "split", "joined", "mean"), rows, title=numbers)
    print(f"fewest errors: {best:.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
