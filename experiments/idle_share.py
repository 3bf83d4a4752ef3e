"""How long do the processes of the paper preset wait for each other?

The script simulates all experiments on the preset's three pairs, with the costs of ``slr run all --preset paper
--dry-run --cells`` and the known speed of an H100. It divides dear cells as a run does, and also simulates a run that
would not divide them. Nothing is run, and no model is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from slr.costs.idle_share import planned_rounds, share_rounds
from slr.experiments.catalogue import chosen_experiments
from slr.models.presets import PRESETS
from slr.runs.speed import KNOWN_SPEEDS
from slr.terminal.command_line import run_function, whole_numbers
from slr.terminal.tables import print_sentence, print_table

PRESET = "paper"
DEAREST = 4
"""Number of the dearest cells that are named."""
Processes = Annotated[str, typer.Option(metavar="N,...", help="numbers of processes, comma-separated")]


def simulate(processes: Processes = "8,64") -> None:
    """Print the share of time that processes wait, how long the run takes, and its dearest cells."""
    rounds = planned_rounds(
        chosen_experiments("all", PRESET, smoke=False), PRESETS[PRESET].pairs, KNOWN_SPEEDS["cuda"]
    )
    rows = []
    for count in whole_numbers(processes, "--processes"):
        for divides in (False, True):
            line = share_rounds(rounds, count, divides=divides)
            cells = "in parts, as slr does it" if divides else "as they are"
            rows.append((cells, count, f"{line.idle_share:.1%}", f"{line.seconds / 3600:.2f}"))
    print_table(("cells", "processes", "idle", "hours"), rows, num_text_columns=1)
    work = [one for round_ in rounds for of_pair in round_ for one in of_pair]
    print_sentence(f"In all {sum(w.seconds for w in work) / 3600:.2f} hours of one GPU. The dearest cells:")
    for dear in sorted(work, key=lambda w: -w.seconds)[:DEAREST]:
        print_sentence(f"  {dear.name}: {dear.seconds / 3600:.2f} hours")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(simulate, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
