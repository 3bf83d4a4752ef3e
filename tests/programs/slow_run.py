"""A run whose cells only wait, mirrored by W&B: ``python -m tests.programs.slow_run OUTPUT_DIR MODE CELLS SECONDS``.

Each cell waits, or works if ``--products`` is given, and yields a record of samples. From the third on, a cell also
waits until the file ``--gate`` is there. The cell with the number of ``--fails`` fails. Printed is the time from the
first cell's begin to the last one's end, and how much of it was between cells.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from slr.models.presets import Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs import live_mirror
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.records import AnyRecord, Samples
from slr.runs.results import of_kind
from slr.runs.script import ScriptOptions, run_script
from slr.sampling.config import SamplingConfig
from slr.terminal.stopping import run_until_stopped

NAME = "slow"
SPEC = PairSpec(
    name="tiny",
    family="llama",
    base=ModelReference("org/base"),
    instruct=ModelReference("org/instruct"),
    num_layers=3,
    num_parameters=None,
)
CELLS_BEFORE_GATE = 2
SIZE = 300
"""Rows of the matrices that a working cell multiplies."""
TOKENS = 40
"""Number of tokens that each cell samples."""

moments: list[float] = []
"""When cells began and ended, in seconds."""


@dataclass(frozen=True, kw_only=True)
class SlowConfig:
    """Number of cells."""

    num_cells: int


def experiments(
    num_cells: int,
    seconds: float,
    gate: Path | None = None,
    fails: int | None = None,
    num_products: int = 0,
) -> list[Experiment[SlowConfig]]:
    """Make the experiment.

    Args:
        num_cells: number of cells.
        seconds: time of a cell in seconds.
        gate: file for which all cells but the first two wait.
        fails: number of the cell that fails.
        num_products: number of products of matrices that each cell computes.
    """

    def cell(number: int) -> Cell:
        key = Samples.key_of(SPEC.name, f"method {number}", "p", 0)
        return Cell(
            key=f"{SPEC.name}/{number}",
            record_keys=lambda _: [key],
            run=lambda context: run(context, number),
            cost=Cost(layer_evaluations=1, tokens=1, flops=1.0),
        )

    def run(context: CellContext, number: int) -> Iterator[Sequence[AnyRecord]]:
        moments.append(time.monotonic())
        time.sleep(seconds)
        matrix = np.eye(SIZE)
        for _ in range(num_products):
            matrix = matrix @ matrix
        moments.append(time.monotonic())
        while gate is not None and number >= CELLS_BEFORE_GATE and not gate.exists():
            time.sleep(0.05)
        if number == fails:
            raise RuntimeError("broken")
        yield [samples(context, number)]

    return [
        Experiment(
            name=NAME,
            question="How slow is it?",
            config=SlowConfig(num_cells=num_cells),
            cells=lambda _: [cell(number) for number in range(num_cells)],
            job_type="test",
            mirror=lambda records, _: mirror(of_kind(records, Samples)),
        )
    ]


def samples(context: CellContext, number: int) -> Samples:
    """The record of a cell."""
    return Samples(
        **context.header,
        family="llama",
        task="open_qa",
        source="offline",
        group="closed",
        prompt_id="p",
        text="Name a colour.",
        request="Name a colour.",
        method=f"method {number}",
        model="instruct",
        interval=None,
        alpha=None,
        prompting="direct",
        sampling=SamplingConfig(max_new_tokens=TOKENS),
        seed=0,
        expected=None,
        texts=("blue", "red"),
        num_tokens=(TOKENS // 2, TOKENS // 2),
        finished=(True, True),
    )


def mirror(records: Sequence[Samples]) -> RunMirror:
    """The number of records, a table of the methods and a curve."""
    rows = [[number, len(record.texts)] for number, record in enumerate(records)]
    curve = (["number", "texts"], rows)
    return RunMirror(
        summary={"instruct/records": len(records)}, tables={"methods": curve}, curves={"c": curve}
    )


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="tests.programs.slow_run")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("mode", choices=["offline", "online", "disabled"])
    parser.add_argument("num_cells", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--products", type=int, default=0)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--fails", type=int)
    parser.add_argument("--notice", type=float, default=live_mirror.SECONDS_OF_NOTICE)
    given = parser.parse_args()
    live_mirror.SECONDS_OF_NOTICE = given.notice
    # By its full name, so that the process that mirrors can unpickle it.
    from tests.programs import slow_run

    options = ScriptOptions(
        output_dir=given.output_dir,
        figures_dir=given.output_dir,
        preset=Preset("slow", (SPEC,), "tiny"),
        wandb=given.mode,
        device="cpu",
    )
    making = partial(
        slow_run.experiments, given.num_cells, given.seconds, given.gate, given.fails, given.products
    )
    status = run_until_stopped(lambda: run_script(making, options), "the same command goes on")
    if slow_run.moments:
        cells = sum(
            end - begin for begin, end in zip(slow_run.moments[::2], slow_run.moments[1::2], strict=True)
        )
        whole = slow_run.moments[-1] - slow_run.moments[0]
        print(f"{whole} {whole - cells}")
    return status


if __name__ == "__main__":
    sys.exit(main())
