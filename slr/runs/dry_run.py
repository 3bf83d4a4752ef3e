"""Print what a run would do, with an estimate of its cost. No weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.runs.experiment import AnyExperiment, Cost, store_of
from slr.runs.results import RecordsByKey
from slr.runs.script import ScriptOptions
from slr.terminal.tables import print_table


@dataclass(frozen=True, kw_only=True)
class AssumedSpeed:
    """Speed of a kind of device, in FLOP per second.

    Attributes:
        forward: speed of forward passes over whole texts.
        sampling: speed while tokens are sampled one after the other.
    """

    forward: float
    sampling: float

    def seconds(self, cost: Cost) -> float | None:
        """Estimate the time of the work in seconds; None where its FLOP are not known."""
        if cost.flops is None:
            return None
        return cost.flops * ((1 - cost.sampled_share) / self.forward + cost.sampled_share / self.sampling)


ASSUMED_SPEEDS = {
    "cpu": AssumedSpeed(forward=5e10, sampling=3e10),
    "cuda": AssumedSpeed(forward=3e14, sampling=2.5e13),
}
"""Speeds by kind of device: two CPU cores in float32, and one H100 in bfloat16.

The H100's forward speed is a third of its peak. Its sampling speed is about 1500 tokens a second of an 8B model at
batch 64, where memory is the limit.
"""


def print_plan(experiments: Sequence[AnyExperiment], options: ScriptOptions) -> None:
    """Print every cell with the estimated cost of its whole work, and the hours of each experiment.

    Cells that are done count too, because the estimate is of the whole work.
    """
    kind = (options.device or ("cpu" if options.preset.name in ("testbed", "laptop") else "cuda")).split(":")[
        0
    ]
    kind = kind if kind in ASSUMED_SPEEDS else "cpu"
    speed = ASSUMED_SPEEDS[kind]
    print(
        f"estimates of the whole work, at an assumed {speed.forward:.0e} FLOP/s, {speed.sampling:.0e} while sampling "
        f"({kind}); no weight is loaded"
    )
    rows: list[tuple[str, ...]] = []
    totals: dict[str, tuple[int, float]] = {}
    for experiment in experiments:
        results = RecordsByKey(
            (key, record)
            for store in (experiment.builds_on, experiment)
            if store is not None
            for key, record in store.results_in(store_of(store, options.output_dir).read()).items()
        )
        for spec in options.pairs():
            for cell in experiment.cells(spec):
                seconds = speed.seconds(cell.cost)
                state = "done" if cell.is_done(results) else "to do"
                rows.append((experiment.name, cell.key, state, *_cells_of(cell.cost, seconds)))
                tokens, so_far = totals.get(experiment.name, (0, 0.0))
                totals[experiment.name] = tokens + cell.cost.tokens, so_far + (seconds or 0.0)
    print_table(
        ("experiment", "cell", "state", "layer evaluations", "tokens", "FLOP", "seconds"),
        rows,
        num_text_columns=3,
    )
    totals["in all"] = sum(tokens for tokens, _ in totals.values()), sum(time for _, time in totals.values())
    print()
    print_table(
        ("experiment", "tokens", f"{'GPU' if kind == 'cuda' else 'CPU'} hours"),
        [(name, f"{tokens:,}", f"{seconds / 3600:.2f}") for name, (tokens, seconds) in totals.items()],
    )


def _cells_of(cost: Cost, seconds: float | None) -> tuple[str, str, str, str]:
    work = f"{cost.layer_evaluations:,}", f"{cost.tokens:,}"
    return (*work, "?", "?") if seconds is None else (*work, f"{cost.flops:.1e}", f"{seconds:.1f}")
