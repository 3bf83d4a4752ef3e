"""The command line that all experiment scripts share, and what it does."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from slr.models.presets import PRESETS, Preset
from slr.models.reference import PairSpec, UnusablePairError
from slr.runs.experiment import AnyExperiment, Cost, RunSettings, run_experiments, store_of
from slr.runs.output_lock import check_still_there, output_lock
from slr.runs.processes import ALONE, Processes, launched_processes
from slr.runs.records import Engine
from slr.runs.tracking import WandbMode, check_account, mirror_pair
from slr.terminal.bad_input import (
    BAD_INPUT,
    DTYPES,
    OneLineParser,
    check_arguments,
    check_environment,
    check_one_of,
    check_output_directory,
    did_you_mean,
    in_one_line,
    one_of,
    print_error,
)
from slr.terminal.literal_text import visible
from slr.terminal.progress import format_seconds
from slr.terminal.stopping import run_until_stopped

if TYPE_CHECKING:
    import torch

MakeExperiment = Callable[[str, bool], AnyExperiment]
"""Makes an experiment for a preset, by name; True asks for its smoke size."""

Draw = Callable[[Path, Path], int]
"""Makes figures from the records of one directory into another; gives an exit status."""


ASSUMED_FLOPS_PER_SECOND = {"cpu": 5e10, "cuda": 3e14}
"""For the estimate of a dry run: two CPU cores in float32, one H100 in bfloat16 at a third of its peak."""
ASSUMED_SAMPLING_FLOPS_PER_SECOND = {"cpu": 3e10, "cuda": 2.5e13}
"""The same where tokens are sampled: about 1500 a second of an 8B model at batch 64, which memory bounds."""

FAILED = 1
"""The exit status where a cell or the disk failed; for the others see ``run_script``."""


def run_script(
    description: str,
    experiments: Sequence[MakeExperiment],
    argv: Sequence[str] | None = None,
    draw: Draw | None = None,
) -> int:
    """Parse the options and run the experiments on the preset's pairs; what a script's ``main`` returns.

    Several processes that ``accelerate launch`` started share the work; the first one draws and mirrors.

    Args:
        description: of the script, for its help.
        experiments: in the order in which they are run on each pair.
        argv: command-line arguments, by default the process's.
        draw: makes the figures from the records at the end, before all is mirrored to W&B.

    Returns:
        0 if every cell is done, 1 if one failed or the disk did, 2 for bad input or a directory that is in use, 130
        after Ctrl-C, 143 after SIGTERM.
    """
    options = _parse(description, argv)
    how_to_go_on = f"all records so far are in {options.output_dir}, the same command goes on from there"
    return run_until_stopped(lambda: _run(experiments, options, draw, argv), how_to_go_on)


def _run(
    experiments: Sequence[MakeExperiment],
    options: argparse.Namespace,
    draw: Draw | None,
    argv: Sequence[str] | None,
) -> int:
    try:
        check_arguments(sys.argv[1:] if argv is None else argv)
        check_environment(uses_wandb=options.wandb != "disabled")
        made = [make(options.preset, options.smoke) for make in experiments]
        specs = _choose_pairs(PRESETS[options.preset], options.families)
        if options.dry_run:
            return _list_cells(made, specs, options)
        return _run_all(made, specs, options, draw)
    except ValueError as error:
        print_error(error)
        return BAD_INPUT
    except OSError as error:
        print_error(error)
        return FAILED


def _parse(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    presets = "; ".join(f"{preset.name}: {preset.description}" for preset in PRESETS.values())
    parser.add_argument(
        "--preset", type=one_of(PRESETS), metavar=_names(PRESETS), default="testbed", help=presets
    )
    parser.add_argument("--families", help="comma-separated, such as llama,gemma; all by default")
    parser.add_argument(
        "--output-dir",
        type=Path,
        help="records go here; results/PRESET by default, with -smoke in a smoke run",
    )
    parser.add_argument(
        "--figures-dir", type=Path, help="figures and tables go here; paper_figures/PRESET by default"
    )
    parser.add_argument("--smoke", action="store_true", help="a few prompts only, to see that all runs")
    parser.add_argument(
        "--dry-run", action="store_true", help="list the cells with an estimate of their cost"
    )
    parser.add_argument(
        "--wandb",
        type=one_of(get_args(WandbMode)),
        metavar=_names(get_args(WandbMode)),
        default="offline",
        help="mirror to W&B",
    )
    parser.add_argument("--device", help="such as cuda:0; the first GPU by default, else the CPU")
    parser.add_argument(
        "--dtype",
        type=one_of(DTYPES),
        metavar=_names(DTYPES),
        help="the checkpoints' own by default",
    )
    parser.add_argument(
        "--device-map",
        type=one_of(("auto",)),
        metavar="auto",
        help="spread each model over all GPUs, for models that one does not hold",
    )
    parser.add_argument(
        "--engine",
        type=one_of(get_args(Engine)),
        metavar=_names(get_args(Engine)),
        default="transformers",
        help="what samples answers; vllm has to be installed",
    )
    options = parser.parse_args(argv)
    suffix = "-smoke" if options.smoke else ""
    options.output_dir = options.output_dir or Path("results") / f"{options.preset}{suffix}"
    if options.figures_dir is None:
        # What a smoke run draws must not stand where real results do.
        figures = options.output_dir / "figures" if options.smoke else Path("paper_figures") / options.preset
        options.figures_dir = figures
    return options


def _names(known: Iterable[str]) -> str:
    """How argparse shows a choice in the help."""
    return f"{{{','.join(known)}}}"


def _choose_pairs(preset: Preset, families: str | None) -> list[PairSpec]:
    if families is None:
        return list(preset.pairs)
    wanted = [family.strip() for family in families.split(",")]
    known = [spec.family for spec in preset.pairs]
    if unknown := [family for family in wanted if family not in known]:
        raise ValueError(
            f"--families names {', '.join(map(repr, unknown))}; the preset {preset.name} has {', '.join(known)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    return [spec for spec in preset.pairs if spec.family in wanted]


def _run_all(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    options: argparse.Namespace,
    draw: Draw | None,
) -> int:
    check_output_directory(options.output_dir, "--output-dir")
    if draw is not None:
        check_output_directory(options.figures_dir, "--figures-dir")
    processes = launched_processes()
    with output_lock(options.output_dir, processes):
        return _run_on_own_directory(experiments, specs, options, draw, processes)


def _run_on_own_directory(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    options: argparse.Namespace,
    draw: Draw | None,
    processes: Processes,
) -> int:
    if processes.is_main:
        check_account(options.wandb, options.output_dir)
    device, dtype = choose_device_and_dtype(options.device, options.dtype, processes)
    if options.engine == "vllm":
        from slr.sampling.vllm_engine import check_usable

        check_usable(device, processes.count)
    settings = RunSettings(
        output_dir=options.output_dir,
        device=device,
        dtype=dtype,
        engine=options.engine,
        device_map=options.device_map,
        processes=processes,
    )
    status = _measure(experiments, specs, settings)
    if processes.is_main:
        status = max(status, _draw_and_mirror(experiments, specs, options, draw))
    # A process that ends with a failure has the launcher end the others too, which may be drawing.
    processes.wait_for_everyone()
    return status


def _draw_and_mirror(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    options: argparse.Namespace,
    draw: Draw | None,
) -> int:
    status = 0
    images: list[Path] = []
    if draw is not None:
        drawn = draw(options.output_dir, options.figures_dir)
        status = max(drawn, FAILED) if drawn else 0  # below 0 where a signal ended it
        images = sorted(options.figures_dir.rglob("*.png")) if status == 0 else []
    for experiment in experiments:
        for spec in specs:
            mirror_pair(experiment, spec, options.output_dir, options.wandb, images, options.smoke)
    return status


def _measure(experiments: Sequence[AnyExperiment], specs: Sequence[PairSpec], settings: RunSettings) -> int:
    """Run all experiments pair by pair; a pair that cannot be loaded does not keep the others from it."""
    say = partial(print, file=sys.stderr) if settings.processes.is_main else lambda _: None
    status = 0
    began = time.monotonic()
    for spec in specs:
        try:
            outcomes = run_experiments(experiments, spec, settings)
        except UnusablePairError as error:
            say(f"error: {in_one_line(str(error))}")
            status = BAD_INPUT
            continue
        if failed := [cell for outcome in outcomes for cell in outcome.failed]:
            say(visible(f"failed: {', '.join(failed)}"))
            status = max(status, FAILED)
    check_still_there(settings.output_dir)
    seconds = format_seconds(time.monotonic() - began)
    say(visible(f"finished in {seconds}; records in {settings.output_dir}"))
    return status


def choose_device_and_dtype(
    device: str | None, dtype: str | None, processes: Processes = ALONE
) -> tuple[str, torch.dtype | None]:
    """The device and dtype asked for; by default the first GPU, else the CPU, where float32 is used.

    Of several processes on a machine, each has by default a GPU of its own.

    Raises:
        ValueError: if there is no such device or dtype, or there are more processes than GPUs.
    """
    import torch

    if device is None:
        device = _default_device(torch.cuda.device_count(), processes)
    _check_device(device)
    if dtype is not None:
        check_one_of("the dtype", dtype, DTYPES)
        return device, getattr(torch, dtype)
    # A CPU computes best in float32; on a GPU the checkpoints' own dtype is kept.
    return device, torch.float32 if torch.device(device).type == "cpu" else None


def _check_device(device: str) -> None:
    import torch

    try:
        if torch.empty(0, device=device).is_meta:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        num_gpus = torch.cuda.device_count()
        gpus = f", or cuda:0 to cuda:{num_gpus - 1}" if num_gpus > 1 else ", or cuda" if num_gpus else ""
        raise ValueError(
            f"the device {device!r} cannot be used: {reason}. Expected cpu{gpus}, which this machine has"
        ) from None


def _default_device(num_gpus: int, processes: Processes) -> str:
    if num_gpus == 0:
        return "cpu"
    if processes.local_count > num_gpus:
        raise ValueError(
            f"{processes.local_count} processes were launched on a machine with {num_gpus} GPUs: launch at most "
            "as many (--num_processes), or give --device to have them share one"
        )
    return "cuda" if processes.local_count == 1 else f"cuda:{processes.local_index}"


def _list_cells(
    experiments: Sequence[AnyExperiment], specs: Sequence[PairSpec], options: argparse.Namespace
) -> int:
    kind = (options.device or ("cpu" if options.preset in ("testbed", "laptop") else "cuda")).split(":")[0]
    kind = kind if kind in ASSUMED_FLOPS_PER_SECOND else "cpu"
    forward, sampling = ASSUMED_FLOPS_PER_SECOND[kind], ASSUMED_SAMPLING_FLOPS_PER_SECOND[kind]
    print(
        f"estimates of the whole work, at an assumed {forward:.0e} FLOP/s, {sampling:.0e} while sampling ({kind}); "
        "no weight is loaded"
    )
    print(f"{'cell':60} {'layer evaluations':>17} {'tokens':>13} {'FLOP':>8} {'seconds':>9}  state")
    totals: dict[str, tuple[int, float]] = {}
    for experiment in experiments:
        stores = [e for e in (experiment.builds_on, experiment) if e is not None]
        results = {
            key: record
            for e in stores
            for key, record in e.results_in(store_of(e, options.output_dir).read()).items()
        }
        for spec in specs:
            for cell in experiment.cells(spec):
                state = "done" if cell.is_done(results) else "to do"
                seconds = _seconds(cell.cost, forward, sampling)
                print(
                    f"{visible(experiment.name + ': ' + cell.key):60} {_describe(cell.cost, seconds)}  {state}"
                )
                tokens, so_far = totals.get(experiment.name, (0, 0.0))
                totals[experiment.name] = tokens + cell.cost.tokens, so_far + (seconds or 0.0)
    totals["in all"] = sum(tokens for tokens, _ in totals.values()), sum(time for _, time in totals.values())
    print(f"\n{'experiment':60} {'':17} {'tokens':>13} {'':8} {'GPU' if kind == 'cuda' else 'CPU'} hours")
    for name, (tokens, seconds) in totals.items():
        print(f"{name:60} {'':17} {tokens:13,} {'':8} {seconds / 3600:9.2f}")
    return 0


def _seconds(cost: Cost, forward: float, sampling: float) -> float | None:
    if cost.flops is None:
        return None
    return cost.flops * ((1 - cost.sampled_share) / forward + cost.sampled_share / sampling)


def _describe(cost: Cost, seconds: float | None) -> str:
    work = f"{cost.layer_evaluations:17,} {cost.tokens:13,}"
    return f"{work} {'?':>8} {'?':>9}" if seconds is None else f"{work} {cost.flops:8.1e} {seconds:9.1f}"
