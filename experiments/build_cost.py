"""What does writing a hybrid cost, against cp and mergekit? Do slr and mergekit write the same tensors?

The script writes a random Llama pair in the shape of Llama-3.2-1B into --work-dir, once. Each model takes 2.5 GB. It
has bfloat16 weights, a vocabulary of 128,256 tokens, and one matrix for embeddings and head.

Then it runs four methods in turn, each in its own process: `cp -r` of the instruct checkpoint, `slr build` of the
middle half of the layers, the same at alpha 0.5, and mergekit with the configuration that `slr build` prints. The
sources are in the page cache, because they were just written or read.

It prints and records the median over the repetitions of each quantity:

- seconds until the process ended;

- seconds until everything was on the disk, by a sync;

- seconds of writing alone, because the work before it takes equally long for a model of any size. `slr build` prints
them, without the imports and the comparison of the two checkpoints. For mergekit, the seconds of `mergekit-yaml --help`
are subtracted instead;

- seconds of CPU time, which a busy machine does not lengthen;

- peak memory of the process itself, which is its anonymous memory, read from /proc every 5 ms. Cached pages of files
do not count;

- the part of these that the imports take.

`pip install -c constraints.txt '.[peers]'` installs mergekit 0.1.5, here or in another virtual environment. Give its
program by `--mergekit mergekit-yaml`, or by its path. Without this option mergekit is left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slr.costs import build_cost
from slr.files.whole import write_whole
from slr.terminal.command_line import run_function

Work = Annotated[
    Path, typer.Option(metavar="DIR", help="directory for the pair and the hybrids; they take 15 GB")
]
Mergekit = Annotated[
    str | None, typer.Option(metavar="PROGRAM", help="mergekit-yaml or its path; by default left out")
]
Repetitions = Annotated[int, typer.Option(min=1, metavar="N", help="number of runs of each method")]
OutputDir = Annotated[Path, typer.Option(metavar="DIR", help="directory for the records")]
Smoke = Annotated[bool, typer.Option("--smoke", help="measure a tiny pair, to see that the script works")]


def measure(
    work_dir: Work,
    mergekit: Mergekit = None,
    repetitions: Repetitions = 3,
    output_dir: OutputDir = Path("results/build_cost"),
    smoke: Smoke = False,
) -> None:
    """Write the pair unless it is there, measure all methods in turn, and print and record the medians.

    Raises:
        ValueError: if this is not Linux, or mergekit is not there.
    """
    if not Path("/proc/self/status").exists():
        raise ValueError("memory is read from /proc, which only Linux has: run this script on Linux")
    if mergekit and shutil.which(mergekit) is None:
        raise ValueError(f"there is no program {mergekit}, expected mergekit-yaml or its path")
    shape = build_cost.SMOKE if smoke else build_cost.Shape()
    base, instruct = build_cost.write_pair(work_dir, shape)
    methods = build_cost.methods_for(work_dir, base, instruct, shape, mergekit)

    costs = build_cost.measure_methods(methods, repetitions, shape)
    build_cost.print_costs(costs, sum(path.stat().st_size for path in instruct.iterdir()))
    if mergekit:
        print(build_cost.compare(work_dir / "slr", work_dir / "mergekit"))
    else:
        print("mergekit is left out: --mergekit was not given")
    # A new measurement replaces the file as a whole, so that all records are from one machine.
    lines = [record.model_dump_json() + "\n" for record in costs]
    write_whole(output_dir / "build_cost.jsonl", "".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
