"""What does writing a hybrid cost, against cp and against mergekit, and do both write the same tensors?

A random Llama pair in the shape of Llama-3.2-1B (2.5 GB a model, bfloat16, tied head, a vocabulary of 128,256) is
written once into --work-dir. Then, in turn and each in a process of its own: `cp -r` of the instruct checkpoint,
`slr build` of the middle half of the layers, the same at alpha 0.5, and mergekit with the configuration that `slr
build` prints. Printed and recorded are medians of: seconds until the process ended; until all was on the disk (by a
sync); seconds of writing alone, because what comes before takes the same for a model of any size (as `slr build` says
it, without imports and the comparison of the two checkpoints; of mergekit all that `mergekit-yaml --help` does not
take); seconds of CPU time, which a busy machine does not lengthen; and peak memory; and of these the part that the
imports take. Only memory of the process's own counts (anonymous memory, read from /proc every 5 ms), not cached
pages of files. The sources are in the cache, just written or read.

`pip install -c constraints.txt '.[peers]'` installs mergekit 0.1.5, here or in a virtual environment of its own; it is
left out without `--mergekit mergekit-yaml` (or where that is).
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

Work = Annotated[Path, typer.Option(help="for pair and outputs: 15 GB")]
Mergekit = Annotated[str | None, typer.Option(help="path of mergekit-yaml; without it mergekit is left out")]
Smoke = Annotated[bool, typer.Option("--smoke", help="a tiny pair, to see that it runs")]


def measure(
    work_dir: Work,
    mergekit: Mergekit = None,
    repetitions: Annotated[int, typer.Option(min=1)] = 3,
    output_dir: Path = Path("results/build_cost"),
    smoke: Smoke = False,
) -> None:
    """Write the pair unless it is there, measure all methods in turn, print and record the medians."""
    if not Path("/proc/self/status").exists():
        raise ValueError("memory is read from /proc, which there is on Linux only")
    if mergekit and shutil.which(mergekit) is None:
        raise ValueError(f"there is no program {mergekit}: expected mergekit-yaml")
    shape = build_cost.SMOKE if smoke else build_cost.Shape()
    base, instruct = build_cost.write_pair(work_dir, shape)
    methods = build_cost.methods_for(work_dir, base, instruct, shape, mergekit)
    costs = build_cost.measure_methods(methods, repetitions, shape)
    build_cost.print_costs(costs, sum(path.stat().st_size for path in instruct.iterdir()))
    if mergekit:
        print(build_cost.compare(work_dir / "slr", work_dir / "mergekit"))
    else:
        print("mergekit is left out: --mergekit was not given")
    lines = [record.model_dump_json() + "\n" for record in costs]
    write_whole(output_dir / "build_cost.jsonl", "".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
