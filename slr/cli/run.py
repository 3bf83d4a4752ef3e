"""``slr run``: run one experiment, or all of them, on the pairs of a preset."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from slr.cli.options import PRESET_HELP, Device, DeviceMap, Dtype, Quiet, Verbose, Wandb
from slr.experiments import ALL, NAMES
from slr.models.presets import PRESETS
from slr.runs.launching import num_cores, run_processes
from slr.runs.modes import Engine
from slr.terminal.bad_input import check_environment, check_one_of
from slr.terminal.command_line import beginning_with, one_of
from slr.terminal.extras import check_installed
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import die_with_parent, is_first_process, run_child, say_when_stopped

if TYPE_CHECKING:
    from slr.runs.script import Drawing, ScriptOptions

# With -P, no module of the working directory can stand in for a package of the same name.
DRAW = (sys.executable, "-P", "-m", "slr", "figures")
NEEDS = {"quality": "lm_eval", "judge": "openai", "second_judge": "openai", "canonicalise": "openai"}
"""Name of the optional package that an experiment needs, by the experiment's name."""
MOST_PROCESSES = 4
"""Largest number of processes by default: with more of them, too many wait for the longest cell."""
EXAMPLE = "Example: slr run all --preset laptop"


def run(
    context: typer.Context,
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help=f"{ALL}, or one of {', '.join(NAMES)}",
            autocompletion=beginning_with((*NAMES, ALL)),
        ),
    ],
    preset: Annotated[
        str,
        typer.Option(
            parser=one_of(PRESETS),
            metavar="|".join(PRESETS),
            help=PRESET_HELP,
            autocompletion=beginning_with(PRESETS),
        ),
    ] = "testbed",
    families: Annotated[
        str | None,
        typer.Option(metavar="FAMILIES", help="comma-separated, such as llama,gemma; by default all"),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="directory for the records; by default results/PRESET, in a smoke run with -smoke",
        ),
    ] = None,
    figures_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"directory for the figures and tables of {ALL}; by default paper_figures/PRESET",
        ),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="run a few prompts only, to see that everything works")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="only estimate time, memory, download and disk; nothing is run"),
    ] = False,
    cells: Annotated[bool, typer.Option("--cells", help="with --dry-run, list every cell too")] = False,
    wandb: Wandb = "offline",
    device: Device = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
    engine: Annotated[
        Engine,
        typer.Option(
            parser=one_of(get_args(Engine)),
            metavar="|".join(get_args(Engine)),
            help="what samples the answers; vllm must be installed separately",
        ),
    ] = "transformers",
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="number of processes of this machine that share the work; by default one, and for the testbed on a "
            f"CPU one a core, up to {MOST_PROCESSES}",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run one experiment, or all of them, on the pairs of a preset.

    The experiments that it builds on run first. If all experiments run, their figures and tables are drawn at the
    end. What is on record is not done again, so the same command continues a run that was stopped.
    """
    set_verbosity(quiet, verbose)
    check_one_of("EXPERIMENT", experiment, (*NAMES, ALL))
    if cells and not dry_run:
        raise ValueError("--cells is for --dry-run: give both, or leave --cells out")
    check_environment(uses_wandb=wandb != "disabled")

    sign_of_life(f"{experiment}: reading what is there ...")

    from slr.experiments.catalogue import chosen_experiments
    from slr.runs.dry_run import print_plan
    from slr.runs.script import ScriptOptions, check_options, run_script

    output_dir = output_dir or Path("results") / f"{preset}{'-smoke' if smoke else ''}"
    # The figures of a smoke run must not replace real results.
    default_figures_dir = output_dir / "figures" if smoke else Path("paper_figures") / preset
    options = ScriptOptions(
        output_dir=output_dir,
        figures_dir=figures_dir or default_figures_dir,
        preset=preset,
        families=families,
        smoke=smoke,
        wandb=wandb,
        device=device,
        dtype=dtype,
        device_map=device_map,
        engine=engine,
    )
    die_with_parent()
    say_when_stopped(f"all records so far are in {output_dir}, the same command goes on from there")
    experiments = chosen_experiments(experiment, preset, smoke)
    # A dry run comes before the checks of optional packages, because it needs none of them.
    if dry_run:
        print_plan(experiments, options, with_cells=cells)
        return 0
    if wandb != "disabled":
        check_installed("wandb", "slr run without --wandb disabled")
    for chosen in experiments:
        if chosen.name in NEEDS:
            check_installed(NEEDS[chosen.name], f"the experiment {chosen.name}")
    count = _num_processes(processes, options)
    if count > 1:
        # Every process makes these checks, and each would print its error.
        check_options(options, draws=experiment == ALL)
        return run_processes([sys.executable, "-P", "-m", "slr", *_words(context)], count)
    status = run_script(experiments, options, draw if experiment == ALL else None)
    has_judge = "judge" in [chosen.name for chosen in experiments]
    if experiment == ALL and not has_judge and is_first_process():
        print(
            "not run: the judges and canonicalise, because SLR_JUDGE_BASE_URL is not set; see docs/judge.md",
            file=sys.stderr,
        )
    return status


def _num_processes(given: int | None, options: ScriptOptions) -> int:
    """How many processes to start; 1 means to do the work in this one.

    Tiny models on a CPU get one process a core, because several threads would mostly wait for each other.

    Raises:
        ValueError: if several are asked for under a launcher, which has started its own.
    """
    from slr.runs.device import choose_device_and_dtype

    is_launched = "WORLD_SIZE" in os.environ
    if is_launched and given not in (None, 1):
        raise ValueError(
            f"--processes is {given} under a launcher, which starts processes of its own: give one of the two"
        )
    if given is not None:
        return given
    # A smoke run ends before other processes would have started.
    is_small = PRESETS[options.preset].is_tiny and not options.smoke
    if not is_small or is_launched or options.engine == "vllm":
        return 1
    device, _ = choose_device_and_dtype(options.device, options.dtype)
    return min(num_cores(), MOST_PROCESSES) if device == "cpu" else 1


def _words(context: typer.Context) -> list[str]:
    """The command line of this call, for a process that does its share."""
    words = ["run"]
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if value is None or value is False or parameter.name == "processes":
            continue
        option = parameter.opts[0]
        words += (
            [option] if value is True else [option, str(value)] if option.startswith("-") else [str(value)]
        )
    return words


def draw(results_dir: Path, figures_dir: Path) -> Drawing:
    """Draw figures and tables with ``slr figures`` in another process, and read the verdicts that it wrote."""
    from slr.analysis.verdict_mirror import verdict_mirrors
    from slr.runs.script import Drawing

    status = run_child([*DRAW, "--results-dir", str(results_dir), "--output-dir", str(figures_dir)])
    return Drawing(status=status, verdicts=verdict_mirrors(figures_dir) if status == 0 else {})
