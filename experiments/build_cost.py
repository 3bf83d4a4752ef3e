"""What does writing a hybrid cost, against cp and against mergekit, and do both write the same tensors?

A random Llama pair in the shape of Llama-3.2-1B (2.5 GB a model, bfloat16, tied head, a vocabulary of 128,256) is
written once into --work-dir. Then, in turn and each in a process of its own: `cp -r` of the instruct checkpoint,
`slr build` of the middle half of the layers, the same at alpha 0.5, and mergekit with the configuration that `slr
build` prints. Printed are medians of: seconds until the process ended; until all was on the disk (by a sync);
seconds of writing alone, for what comes before takes the same for a model of any size (as `slr build` says it,
without imports and the comparison of the two checkpoints; of mergekit all that `mergekit-yaml --help` does not
take); seconds of CPU time, which a busy machine does not lengthen; and peak memory; and of these the part that the
imports take. Only memory of the process's own counts (anonymous memory, read from /proc every 5 ms), not cached
pages of files. The sources are in the cache, just written or read.

`pip install -c constraints.txt '.[peers]'` installs mergekit 0.1.5, here or in a virtual environment of its own; it is
left out without `--mergekit mergekit-yaml` (or where that is).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from slr.costs.build_cost import (
    SMOKE,
    Shape,
    compare,
    measure_methods,
    methods_for,
    print_rows,
    record,
    write_model,
)
from slr.terminal.bad_input import BAD_INPUT
from slr.terminal.stopping import run_until_stopped


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pair unless it is there, measure all methods in turn, print and record the medians."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, required=True, help="for pair and outputs: 15 GB")
    parser.add_argument("--mergekit", help="path of mergekit-yaml; without it mergekit is left out")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output-dir", type=Path, default=Path("results/build_cost"))
    parser.add_argument("--smoke", action="store_true", help="a tiny pair, to see that it runs")
    options = parser.parse_args(argv)
    if not Path("/proc/self/status").exists():
        print("error: memory is read from /proc, which there is on Linux only", file=sys.stderr)
        return BAD_INPUT
    if options.mergekit and shutil.which(options.mergekit) is None:
        print(f"error: there is no program {options.mergekit}: expected mergekit-yaml", file=sys.stderr)
        return BAD_INPUT
    shape = SMOKE if options.smoke else Shape()
    base, instruct = (write_model(options.work_dir / side, shape, side) for side in ("base", "instruct"))
    methods = methods_for(options.work_dir, base, instruct, shape, options.mergekit)
    rows = measure_methods(methods, options.repetitions)
    print_rows(rows, sum(path.stat().st_size for path in instruct.iterdir()))
    if options.mergekit:
        print(compare(options.work_dir / "slr", options.work_dir / "mergekit"))
    else:
        print("mergekit is left out: --mergekit was not given")
    record(options.output_dir, shape, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))
