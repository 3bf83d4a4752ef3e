"""``slr run``: run one experiment, or all of them, on the pairs of a preset or of the user's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from slr.cli.options import (
    MODEL_HELP,
    PRESET_HELP,
    Device,
    DeviceMap,
    Dtype,
    Publish,
    Quiet,
    Trackers,
    Verbose,
    Wandb,
    names_of,
    published_dir,
)
from slr.experiments import ALL, NAMES
from slr.models.presets import PRESETS, Preset
from slr.plugins import added_names, own_names
from slr.runs.launching import num_cores, run_processes
from slr.runs.modes import EngineChoice
from slr.terminal.bad_input import check_environment, check_not_given, check_one_of
from slr.terminal.command_line import beginning_with, one_of
from slr.terminal.extras import check_installed
from slr.terminal.literal_text import visible
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import die_with_parent, is_first_process, run_child, say_when_stopped

if TYPE_CHECKING:
    from slr.models.reference import PairSpec
    from slr.runs.own_run import OwnRun
    from slr.runs.script import Drawing, ScriptOptions

# With -P, no module of the working directory can stand in for a package of the same name.
DEFAULT_PRESET = "testbed"
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
            help=f"{ALL}, or one of {', '.join(NAMES)}, or a task of another package",
            autocompletion=beginning_with((*NAMES, ALL)),
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            parser=one_of(PRESETS),
            metavar="|".join(PRESETS),
            autocompletion=beginning_with(PRESETS),
            help=f"{PRESET_HELP}\n\nBy default {DEFAULT_PRESET}. With --pair or --pairs: the preset whose prompts and "
            "sizes are used, by default small.",
        ),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="BASE INSTRUCT", help=f"run on a pair of your own instead: each is a {MODEL_HELP}"
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="run on the pairs in a YAML file instead; docs/pairs.yaml is an example"
        ),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILIES",
            help="comma-separated, such as llama,gemma; by default all. A pair of your own without a family "
            "goes by its name",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="directory for the records; by default results/PRESET or results/NAME, in a smoke run with -smoke",
        ),
    ] = None,
    figures_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"directory for the figures, tables and page of {ALL}; by default --output-dir",
        ),
    ] = None,
    publish: Publish = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="run a few prompts only, to see that everything works")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="only estimate time, memory, download and disk; nothing is run"),
    ] = False,
    cells: Annotated[bool, typer.Option("--cells", help="with --dry-run, list every cell too")] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="metrics of other packages to measure the samples by too, with commas between them; slr plugins "
            "lists them",
        ),
    ] = None,
    wandb: Wandb = "offline",
    trackers: Trackers = None,
    device: Device = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
    engine: Annotated[
        EngineChoice,
        typer.Option(
            parser=one_of(get_args(EngineChoice)),
            metavar="|".join(get_args(EngineChoice)),
            help="what samples the answers; vllm must be installed separately, and auto takes it on a GPU where it is",
        ),
    ] = "transformers",
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="number of processes of this machine that share the work; by default one, and for testbed, laptop and "
            f"first on a CPU one a core, as memory allows and up to {MOST_PROCESSES}",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run one experiment, or all of them, on the pairs of a preset or on your own.

    The experiments that it builds on run first. If all experiments run, their figures and tables are drawn at the
    end. What is on record is not done again, so the same command continues a run that was stopped.
    """
    set_verbosity(quiet, verbose)
    if experiment not in (*NAMES, ALL):
        tasks = (*own_names("slr.tasks"), *added_names("slr.tasks"))
        check_one_of("EXPERIMENT", experiment, tuple(dict.fromkeys((*NAMES, *tasks, ALL))))
    if cells and not dry_run:
        raise ValueError("--cells is for --dry-run: give both, or leave --cells out")
    check_environment(uses_wandb=wandb != "disabled")

    sign_of_life(f"{experiment}: reading what is there ...")

    from slr.experiments.catalogue import chosen_experiments
    from slr.runs.dry_run import print_plan
    from slr.runs.own_run import PRESET_SIZES
    from slr.runs.script import ScriptOptions, check_options, run_script
    from slr.runs.trackers import load_trackers

    die_with_parent()
    if publish:
        others = {"--smoke": smoke, "--pair": pair, "--pairs": pairs, "--figures-dir": figures_dir}
        check_not_given("--publish", {**others, "--output-dir": output_dir})
    if pair is not None:
        check_not_given("--pair", {"--pairs": pairs})
    own = _own_run(pair, pairs, preset)
    run_on = PRESETS[preset or DEFAULT_PRESET] if own is None else _own_preset(own, pairs)
    sized, sizes = (run_on, PRESET_SIZES) if own is None else (PRESETS[own.preset], own.experiments)
    output_dir = output_dir or Path("results") / f"{run_on.name}{'-smoke' if smoke else ''}"
    if publish:
        figures_dir = published_dir("--publish") / run_on.name
    options = ScriptOptions(
        output_dir=output_dir,
        figures_dir=figures_dir or output_dir,
        preset=run_on,
        own_run=own,
        families=families,
        smoke=smoke,
        wandb=wandb,
        # Only the process that shows results needs what shows them.
        trackers=load_trackers(names_of(trackers)) if is_first_process() and not dry_run else (),
        device=device,
        dtype=dtype,
        device_map=device_map,
        engine=engine,
    )
    say_when_stopped(f"all records so far are in {output_dir}, the same command goes on from there")
    sizes_of = sized.sizes_of or sized.name
    make_experiments = partial(chosen_experiments, experiment, sizes_of, smoke, sizes, names_of(metrics))
    experiments = make_experiments()
    # A dry run comes before the checks of optional packages, because it needs none of them.
    if dry_run:
        print_plan(experiments, options, with_cells=cells)
        return 0
    _check_packages([chosen.name for chosen in experiments], uses_wandb=wandb != "disabled")
    count = _num_processes(processes, options)
    if count > 1:
        # Every process makes these checks, and each would print its error.
        check_options(options, draws=experiment == ALL)
        return run_processes([sys.executable, "-P", "-m", "slr", *_words(context)], count)
    if experiment != ALL:
        status = run_script(make_experiments, options)
        if is_first_process():
            print(visible(f"to draw them: slr figures --results-dir {output_dir}"), file=sys.stderr)
        return status
    if "judge" not in [chosen.name for chosen in experiments] and is_first_process():
        print(
            "left out: the judges and canonicalise, because SLR_JUDGE_BASE_URL is not set; see docs/judge.md",
            file=sys.stderr,
        )
    return run_script(make_experiments, options, partial(draw, preset=run_on.name) if publish else draw)


def _check_packages(experiments: Sequence[str], uses_wandb: bool) -> None:
    """Check the optional packages that a run needs.

    Raises:
        ValueError: if one is not installed.
    """
    if uses_wandb:
        check_installed("wandb", "slr run without --wandb disabled")
    for name in experiments:
        if name in NEEDS:
            check_installed(NEEDS[name], f"the experiment {name}")


def _own_run(pair: tuple[str, str] | None, pairs: Path | None, preset: str | None) -> OwnRun | None:
    """The run on the user's own pairs that the options describe; None if they describe none."""
    from slr.runs.own_run import read_own_run, run_of_pair

    if pairs is not None:
        own = read_own_run(pairs)
    elif pair is not None:
        own = run_of_pair(*pair)
    else:
        return None
    return own if preset is None else own.model_copy(update={"preset": preset})


def _own_preset(own: OwnRun, pairs: Path | None) -> Preset:
    """The user's pairs, with what their checkpoints say of them.

    Raises:
        ValueError: if a pair is described wrongly, or none can be opened; the message begins with the option or the
            file.
    """
    from slr.models.opened_pair import with_facts

    try:
        preset = own.as_preset()
    except ValueError as error:
        raise ValueError(f"{pairs or '--pair'}: {error}") from None
    # Records name the commits that were found, because a branch of a hub model can move between two calls.
    specs: list[PairSpec] = []
    problems: list[str] = []
    for spec in preset.pairs:
        try:
            specs.append(with_facts(spec))
        except ValueError as error:
            # It is reported again when the pair's turn comes, so that the other pairs are measured.
            specs.append(spec)
            problems.append(f"{spec.name}: {error}")
    if len(problems) == len(specs):
        raise ValueError(f"{pairs or '--pair'}: {problems[0]}")
    return replace(preset, pairs=tuple(specs))


def _num_processes(given: int | None, options: ScriptOptions) -> int:
    """How many processes to start; 1 means to do the work in this one.

    Small models on a CPU get one process a core, because several threads would mostly wait for each other. Each process
    needs room for the largest pair, and as much again to compute.

    Raises:
        ValueError: if several are asked for under a launcher, which has started its own.
    """
    import psutil

    from slr.runs.device import choose_device_and_dtype
    from slr.runs.dry_run import pair_bytes

    is_launched = "WORLD_SIZE" in os.environ
    if is_launched and given not in (None, 1):
        raise ValueError(
            f"--processes is {given} under a launcher, which starts processes of its own: give one of the two"
        )
    if given is not None:
        return given
    # A smoke run ends before other processes would have started.
    is_small = options.preset.is_for_cpu and not options.smoke
    if not is_small or is_launched or options.engine == "vllm":
        return 1
    device, _ = choose_device_and_dtype(options.device, options.dtype)
    if device != "cpu":
        return 1
    for_one = 2 * max(pair_bytes(spec, "cpu") for spec in options.pairs())
    return max(1, min(num_cores(), MOST_PROCESSES, psutil.virtual_memory().available // for_one))


def _words(context: typer.Context) -> list[str]:
    """The command line of this call, for a process that does its share."""
    words = ["run"]
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if value is None or value is False or parameter.name == "processes":
            continue
        option = parameter.opts[0]
        words += [option] if option.startswith("-") else []
        words += [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
    return words


def draw(results_dir: Path, figures_dir: Path, preset: str | None = None) -> Drawing:
    """Draw figures and tables with ``slr figures`` in another process, and read the verdicts that it wrote.

    Args:
        results_dir: directory of the records.
        figures_dir: directory for figures and tables.
        preset: name of the preset whose figures are to be published, in place of both directories; None for none.

    Returns:
        The exit status and the verdicts of each pair.
    """
    from slr.analysis.verdict_mirror import verdict_mirrors
    from slr.runs.script import Drawing

    where = ["--results-dir", str(results_dir), "--output-dir", str(figures_dir)]
    status = run_child([*DRAW, *(where if preset is None else ["--preset", preset, "--publish"])])
    return Drawing(status=status, verdicts=verdict_mirrors(figures_dir) if status == 0 else {})
