"""``slr search``: score every interval of a pair, choose one, and print the command that builds its hybrid."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import (
    Adapter,
    Base,
    Components,
    Device,
    DeviceMap,
    Dtype,
    Instruct,
    Quiet,
    Revision,
    Verbose,
    Wandb,
    components_of,
)
from slr.crc.selection import MIN_VALIDITY_RATIO
from slr.terminal.bad_input import check_environment, check_output_directory
from slr.terminal.command_line import number, numbers
from slr.terminal.extras import check_installed
from slr.terminal.literal_text import visible
from slr.terminal.notices import notice, set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped
from slr.terminal.tables import print_table
from slr.vocabulary import COMPONENTS

if TYPE_CHECKING:
    from slr.crc.report import CrcReport
    from slr.crc.study import CrcStudyConfig
    from slr.intervals import Restoration
    from slr.models.loading import ModelPair
    from slr.models.reference import PairSpec
    from slr.runs.experiment import RunSettings
    from slr.runs.modes import WandbMode

EXAMPLE = "Example: slr search meta-llama/Llama-3.1-8B meta-llama/Llama-3.1-8B-Instruct --output-dir llama"


def search(
    base: Base,
    instruct: Instruct = None,
    adapter: Adapter = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="directory for records and figures; by default results/NAME-OF-THE-PAIR"
        ),
    ] = None,
    base_revision: Revision = None,
    instruct_revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            help="read each layer from disk when it is needed; by default only if the pair does not fit into memory"
        ),
    ] = None,
    device_map: DeviceMap = None,
    min_validity: Annotated[
        float,
        typer.Option(
            parser=number,
            metavar="RATIO",
            help="share of the instruct model's validity that the choice must keep, in (0, 1]",
        ),
    ] = MIN_VALIDITY_RATIO,
    margin: Annotated[
        bool,
        typer.Option(
            "--margin",
            help="choose more carefully: the lower end of that share's 95% confidence interval must reach RATIO too",
        ),
    ] = False,
    alphas: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS", help="shares of the base model to try in each interval, such as 0.25,0.5,1"
        ),
    ] = "1",
    components: Components = "attention,mlp,norms",
    wandb: Wandb = "disabled",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Score every interval of a pair by CRC and choose the best one.

    BASE and INSTRUCT are two checkpoints of one architecture. In place of INSTRUCT, --adapter takes a LoRA
    adapter of BASE. BASE alone can be the name of a preset's pair, such as testbed-llama.

    Records, heatmap and trade-off plot go to the output directory. The slr build command for the choice is
    printed at the end. The same command continues a search that was stopped. With another --min-validity or
    --margin it chooses anew from the same scores. --alphas searches partial restoration too: all alphas in one
    pass, and the choice is among all of them. Scores of other alphas and components in the directory stay.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped("the same command goes on from the records that are there")
    _check_options(min_validity, wandb)

    import dataclasses

    from slr.crc.report import crc_report
    from slr.crc.study import FULL, crc_experiment
    from slr.models.presets import resolve_pair
    from slr.runs.processes import launched_processes

    config = dataclasses.replace(
        FULL,
        min_validity_ratio=min_validity,
        margin=margin,
        alphas=numbers(alphas, "--alphas"),
        components=components_of(components),
    )
    spec = resolve_pair(
        base,
        instruct,
        adapter=adapter,
        base_revision=base_revision,
        instruct_revision=instruct_revision,
    )
    output_dir = output_dir or Path("results") / spec.name
    check_output_directory(output_dir, "--output-dir")
    processes = launched_processes()
    if processes.is_main:
        sign_of_life(f"{spec.name}: opening the models ...")

    from slr.crc.plots import save_pictures
    from slr.runs.device import choose_device_and_dtype
    from slr.runs.experiment import RunSettings, run_experiment, store_of
    from slr.runs.output_lock import check_still_there, output_lock
    from slr.runs.tracking import check_account, mirror_pair

    device, torch_dtype = choose_device_and_dtype(device, dtype, processes)
    settings = RunSettings(
        output_dir=output_dir, device=device, dtype=torch_dtype, device_map=device_map, processes=processes
    )
    experiment = crc_experiment(config)
    with output_lock(output_dir, processes):
        if processes.is_main:
            check_account(wandb, output_dir)
        # The pair is loaded before anything is written, so that an unusable pair is reported at once.
        pair = _load(spec, settings, stream, config)
        # The record names the commits that were found, because a branch of a hub model can move.
        spec = dataclasses.replace(
            spec, base=pair.base, instruct=pair.instruct, family=pair.family, num_layers=pair.num_layers
        )
        outcome = run_experiment(experiment, spec, settings, dataclasses.replace(pair, name=spec.name))
        check_still_there(output_dir)
        if outcome.failed:
            return 1
        # The main process alone reports, because all processes share one output directory.
        if not processes.is_main:
            return 0
        records = store_of(experiment, output_dir).read()
        report = crc_report(records, spec.name, config.rule, config.stacks)
        pictures = save_pictures([report], records, output_dir / "figures")
        mirror_pair(experiment, spec, output_dir, wandb, pictures)
    _print_report(report)
    print("\nrecords:", visible(str(store_of(experiment, output_dir).path)))
    for picture in pictures:
        print(visible(f"picture: {picture}"))
    if report.chosen is not None:
        print("\nto build this hybrid:\n")
        print(visible("  " + _build_command(spec, report.chosen, output_dir)))
    return 0


def _check_options(min_validity: float, wandb: WandbMode) -> None:
    """Check what can be checked before a heavy package is imported.

    Raises:
        ValueError: if the ratio is out of its range, or the environment or a missing package would stop the run later.
    """
    check_environment(uses_wandb=wandb != "disabled")
    if wandb != "disabled":
        check_installed("wandb", f"--wandb {wandb}")
    if not 0 < min_validity <= 1:
        raise ValueError(
            f"--min-validity is {min_validity:g}, expected a number above 0 and at most 1: the share of the instruct "
            "model's validity that the choice must keep"
        )


def _load(spec: PairSpec, settings: RunSettings, stream: bool | None, config: CrcStudyConfig) -> ModelPair:
    """Load the pair, and say on the main process what is special about it.

    Raises:
        ValueError: if the pair cannot be searched, or its tokenizer cannot encode the prompts.
    """
    from slr.crc.prompts import PROMPT_SETS
    from slr.crc.scoring import encode_prompts
    from slr.models.loading import load_spec

    pair = load_spec(
        spec,
        dtype=settings.dtype,
        device=settings.device,
        stream=stream,
        device_map=settings.device_map,
        check_tokenizer=lambda tokenizer: [
            encode_prompts(config.prompts(prompt_set), tokenizer) for prompt_set in PROMPT_SETS
        ],
    )
    if settings.processes.is_main:
        for note in pair.notes:
            notice(f"note: {note}")
    return pair


def _print_report(report: CrcReport) -> None:
    from slr.crc.report import rule_in_words

    chosen = (
        f"layers {report.interval} of {report.num_layers} {report.chosen.stack}".rstrip()
        if report.chosen is not None
        else "no layers"
    )
    print(f"\n{visible(report.pair)}: {chosen}")
    print(f"{visible(report.interval_reason)}\n")
    rows = []
    for line in report.models:
        # A comparison of the reference with itself would always give 1 and 0.
        is_reference = line.model == "instruct"
        rows.append(
            (
                _model_name(line.model, report),
                line.prompt_set.replace("_", "-"),
                line.validity,
                line.diversity,
                "" if is_reference else line.validity_ratio,
                "" if is_reference else line.diversity_difference,
            )
        )
    columns = (
        "model",
        "prompts",
        "validity",
        "diversity",
        "validity / instruct's",
        "diversity less instruct's",
    )
    print_table(columns, rows, num_text_columns=2)
    print()
    print_table(
        ("best admissible layers", "validity", "diversity", "validity / instruct's"),
        [
            (best.choice, f"{best.validity:.3f}", f"{best.diversity:.3f}", best.validity_ratio)
            for best in report.best
        ],
    )
    print(f"\n{len(report.front)} of all intervals are on the Pareto front.")
    for sentence in rule_in_words(report):
        print(visible(sentence))


def _model_name(model: str, report: CrcReport) -> str:
    if model == "hybrid":
        return f"hybrid {report.chosen}"
    return f"soup, alpha {report.soup_alpha:g}" if model == "soup" else model


def _build_command(spec: PairSpec, chosen: Restoration, search_dir: Path) -> str:
    words = ["slr", "build", *_pair_words(spec), "--layers", str(chosen.interval)]
    if chosen.alpha != 1:
        words += ["--alpha", f"{chosen.alpha:g}"]
    if chosen.components != COMPONENTS:
        words += ["--components", ",".join(chosen.components)]
    return shlex.join([*words, "--search-dir", str(search_dir), "--output", f"{spec.name}-slr"])


def _pair_words(spec: PairSpec) -> list[str]:
    """The arguments and options that name a pair; the name alone if it is a preset's."""
    from slr.models.presets import find_pair, preset_of

    if preset_of(spec.name) is not None:
        known = find_pair(spec.name)
        # A pair of the user's own may have the same name.
        if (known.base, known.instruct) == (spec.base, spec.instruct):
            return [spec.name]
    locations = [reference.location for reference in (spec.base, spec.instruct)]
    # Without "./", the command line would read a path that begins with a dash as an option.
    base, instruct = (f"./{location}" if location.startswith("-") else location for location in locations)
    words = [base, "--adapter", instruct] if spec.instruct_is_adapter else [base, instruct]
    for option, reference in (("--base-revision", spec.base), ("--instruct-revision", spec.instruct)):
        if reference.revision is not None:
            words += [option, reference.revision]
    return words
