"""How small a difference can each experiment find?

The first table is for the numbers of prompts in the records. The second is for the numbers of prompts of every preset,
with the largest standard deviation in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slr.analysis.load_results import load_results
from slr.analysis.tables.power import planned_power, power
from slr.downstream.task import load_task
from slr.experiments import creative_writing, open_qa, reasoning
from slr.terminal.command_line import run_function
from slr.vocabulary import TaskName


def planned_prompts(preset: str) -> dict[TaskName, int]:
    """The numbers of prompts in the primary groups of a preset."""
    questions = open_qa.CONFIGS[preset]
    loaded = load_task("open_qa", questions.source, questions.num_prompts)
    return {
        "creative_writing": 3 * creative_writing.CONFIGS[preset].num_prompts,
        "open_qa": sum(prompt.group == "closed" for prompt in loaded),
        "reasoning": reasoning.CONFIGS[preset].num_prompts,
    }


def measure(
    results_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="directory with the records of one preset")
    ] = Path("results/testbed"),
) -> None:
    """Print both tables as Markdown.

    Raises:
        ValueError: if there are no records.
    """
    results = load_results(results_dir)
    planned = {preset: planned_prompts(preset) for preset in creative_writing.CONFIGS}
    for table in (power(results), planned_power(results, planned)):
        print(f"{table.markdown()}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
