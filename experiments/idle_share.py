"""How long do the processes of the paper preset wait for each other?

The script simulates all experiments on the preset's three pairs, with the costs of ``slr run all --preset paper
--dry-run --cells`` and the known speed of an H100. Processes share the cells in rounds, as a run does, or at
once, where a cell starts as soon as the records that it needs are there. Both are simulated again with the dearest
cells divided into equal parts. Nothing is run, and no model is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import typer

from slr.costs.idle_share import planned_rounds, planned_work, share_at_once, share_in_rounds
from slr.experiments.catalogue import chosen_experiments
from slr.models.presets import PRESETS
from slr.runs.speed import KNOWN_SPEEDS
from slr.terminal.command_line import run_function, whole_numbers
from slr.terminal.tables import print_sentence, print_table

PRESET = "paper"
DEAREST = 4
"""Number of the dearest cells that are named."""
Processes = Annotated[str, typer.Option(metavar="N,...", help="numbers of processes, comma-separated")]
PartSeconds = Annotated[
    str, typer.Option(metavar="SECONDS,...", help="longest parts where cells are divided, comma-separated")
]


def simulate(processes: Processes = "8,64", part_seconds: PartSeconds = "600,60") -> None:
    """Print the share of time that processes wait, how long the run takes, and its dearest cells."""
    plan = chosen_experiments("all", PRESET, smoke=False), PRESETS[PRESET].pairs, KNOWN_SPEEDS["cuda"]
    divisions = [("as they are", math.inf)]
    divisions += [(f"of at most {most} s", most) for most in whole_numbers(part_seconds, "--part-seconds")]
    rows = []
    for count in whole_numbers(processes, "--processes"):
        for cells, longest in divisions:
            lines = {
                "in rounds": share_in_rounds(planned_rounds(*plan, longest), count),
                "at once": share_at_once(planned_work(*plan, count, longest), count),
            }
            rows += [
                (cells, sharing, count, f"{line.idle_share:.1%}", f"{line.seconds / 3600:.2f}")
                for sharing, line in lines.items()
            ]
    print_table(("cells", "shared", "processes", "idle", "hours"), rows, num_text_columns=2)
    work = planned_work(*plan, 1)
    print_sentence(f"In all {sum(w.seconds for w in work) / 3600:.2f} hours of one GPU. The dearest cells:")
    for dear in sorted(work, key=lambda w: -w.seconds)[:DEAREST]:
        print_sentence(f"  {dear.name}: {dear.seconds / 3600:.2f} hours")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(simulate, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
