"""``slr run``: run one experiment, or all of them, on the pairs of a preset."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from slr.cli.options import PRESET_HELP, Device, DeviceMap, Dtype, Wandb
from slr.experiments import ALL, NAMES
from slr.models.presets import PRESETS
from slr.runs.modes import Engine
from slr.terminal.bad_input import check_environment, check_one_of
from slr.terminal.command_line import one_of
from slr.terminal.extras import check_installed
from slr.terminal.stopping import run_child, say_when_stopped

# With -P, no module of the working directory can stand in for a package of the same name.
DRAW = (sys.executable, "-P", "-m", "slr", "figures")
NEEDS = {"quality": "lm_eval", "judge": "openai", "second_judge": "openai", "canonicalise": "openai"}
"""Name of the optional package that an experiment needs, by the experiment's name."""
EXAMPLE = "Example: slr run all --preset laptop"


def run(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help=f"{ALL}, or one of {', '.join(NAMES)}")
    ],
    preset: Annotated[
        str, typer.Option(parser=one_of(PRESETS), metavar="|".join(PRESETS), help=PRESET_HELP)
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
        bool, typer.Option("--dry-run", help="only list the cells, with an estimate of their cost")
    ] = False,
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
) -> int:
    """Run one experiment, or all of them, on the pairs of a preset.

    The experiments that it builds on run first. If all experiments run, their figures and tables are drawn at the
    end. What is on record is not done again, so the same command continues a run that was stopped.
    """
    check_one_of("EXPERIMENT", experiment, (*NAMES, ALL))
    check_environment(uses_wandb=wandb != "disabled")

    from slr.experiments.catalogue import chosen_experiments
    from slr.runs.dry_run import print_plan
    from slr.runs.script import ScriptOptions, run_script

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
    say_when_stopped(f"all records so far are in {output_dir}, the same command goes on from there")
    experiments = chosen_experiments(experiment, preset, smoke)
    # A dry run comes before the checks of optional packages, because it needs none of them.
    if dry_run:
        print_plan(experiments, options)
        return 0
    if wandb != "disabled":
        check_installed("wandb", "slr run without --wandb disabled")
    for chosen in experiments:
        if chosen.name in NEEDS:
            check_installed(NEEDS[chosen.name], f"the experiment {chosen.name}")
    return run_script(experiments, options, draw if experiment == ALL else None)


def draw(results_dir: Path, figures_dir: Path) -> int:
    """Draw figures and tables with ``slr figures`` in another process, and return its exit status."""
    return run_child([*DRAW, "--results-dir", str(results_dir), "--output-dir", str(figures_dir)])
