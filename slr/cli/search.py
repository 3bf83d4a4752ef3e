"""``slr search``: score every interval of a pair, choose one, and print the command that builds its hybrid."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import (
    Adapter,
    AsJson,
    Base,
    Components,
    Device,
    DeviceMap,
    Dtype,
    Instruct,
    Quiet,
    Report,
    Revision,
    Top,
    Trackers,
    Verbose,
    Wandb,
    components_of,
    names_of,
)
from slr.crc.selection import MIN_VALIDITY_RATIO
from slr.terminal.bad_input import check_environment, check_output_directory, check_writable
from slr.terminal.command_line import number, numbers
from slr.terminal.extras import check_installed
from slr.terminal.literal_text import visible
from slr.terminal.notices import notice, set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped

if TYPE_CHECKING:
    from slr.crc.study import CrcStudyConfig
    from slr.models.loading import ModelPair
    from slr.models.reference import PairSpec
    from slr.runs.experiment import AnyExperiment, RunSettings
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
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='prompts of your own, a line each, such as {"text": "Name a vowel.", "valid": "aeiou"}; by default '
            "the 80 that come with slr",
        ),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="scorer of another package, in place of validity and entropy; slr plugins lists them",
        ),
    ] = None,
    top: Top = 5,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="only estimate time, memory and download; nothing is loaded or written"
        ),
    ] = False,
    report_path: Report = None,
    as_json: AsJson = False,
    wandb: Wandb = "disabled",
    trackers: Trackers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Score every interval of a pair by CRC and choose the best one.

    BASE and INSTRUCT are two checkpoints of one architecture. In place of INSTRUCT, --adapter takes a LoRA
    adapter of BASE. BASE alone can be the name of a preset's pair, such as testbed-llama.

    Records, heatmap and trade-off plot go to the output directory. At the end stands which is better, the hybrid or
    the soup, and the command that builds it. The same command continues a search that was stopped. With another
    --min-validity or --margin it chooses anew from the same scores, as slr show does without the models. --alphas
    searches partial restoration too: all alphas in one pass, and the choice is among all of them. Scores of other
    alphas and components in the directory stay.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped("the same command goes on from the records that are there")
    _check_options(min_validity, wandb)
    if report_path is not None:
        check_writable(report_path.parent, "the directory of --report")

    import dataclasses

    from slr.cli.crc_output import build_command, pair_words, print_report, report_as_json
    from slr.crc.own_prompts import read_prompts
    from slr.crc.recommendation import recommend
    from slr.crc.report import crc_report
    from slr.crc.scorer import load_scorer
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
    chosen_scorer = None if scorer is None else load_scorer(scorer)
    if prompts is not None:
        config = config.with_own_prompts(read_prompts(prompts))
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
    from slr.crc.search_page import write_search_page
    from slr.runs.device import choose_device_and_dtype
    from slr.runs.experiment import RunSettings, store_of
    from slr.runs.live_mirror import End, live_mirror
    from slr.runs.output_lock import check_still_there, output_lock
    from slr.runs.run_experiments import run_experiments
    from slr.runs.run_progress import run_progress
    from slr.runs.trackers import load_trackers, show_pair
    from slr.runs.wandb_files import check_account

    loaded_trackers = load_trackers(names_of(trackers)) if processes.is_main else []
    device, torch_dtype = choose_device_and_dtype(device, dtype, processes)
    settings = RunSettings(
        output_dir=output_dir, device=device, dtype=torch_dtype, device_map=device_map, processes=processes
    )
    experiment = crc_experiment(config, chosen_scorer)
    if dry_run:
        from slr.cli.search_estimate import print_estimate
        from slr.crc.search_plan import plan_search
        from slr.models.opened_pair import open_pair

        results = experiment.results_in(store_of(experiment, output_dir).read())
        plan = plan_search(open_pair(spec), config, results, device=device, dtype=torch_dtype, stream=stream)
        print_estimate(plan, device, as_json)
        return 0
    with output_lock(output_dir, processes):
        if processes.is_main:
            check_account(wandb, output_dir)
        # The pair is loaded before anything is written, so that an unusable pair is reported at once.
        pair = _load(spec, settings, stream, config)
        # The record names the commits that were found, because a branch of a hub model can move.
        spec = dataclasses.replace(
            spec, base=pair.base, instruct=pair.instruct, family=pair.family, num_layers=pair.num_layers
        )
        pair = dataclasses.replace(pair, name=spec.name)
        mirroring = live_mirror(
            partial(_experiments, config, scorer), [spec], output_dir, wandb, is_main=processes.is_main
        )
        with mirroring as mirror:
            with run_progress(device, is_shown=processes.is_main, watch=mirror) as progress:
                [outcome] = run_experiments([experiment], spec, settings, pair, progress)
            check_still_there(output_dir)
            if outcome.failed:
                mirror.end(End(status=1))
                return 1
            # The main process alone reports, because all processes share one output directory.
            if not processes.is_main:
                return 0
            records = store_of(experiment, output_dir).read()
            report = crc_report(records, spec.name, config.rule, config.stacks, top)
            pictures = save_pictures([report], records, output_dir / "figures")
            show_pair(loaded_trackers, experiment, spec, output_dir)
            status = mirror.end(End(status=0, pictures=pictures))
    better = recommend(records, report)
    command = (
        None
        if better is None
        else build_command(pair_words(spec), better.choice, output_dir, f"{spec.name}-slr")
    )
    if report_path is not None:
        write_search_page(report_path, report, records, command)
    if as_json:
        print(json.dumps(report_as_json(report, better, command), indent=1))
        return status
    print()
    print_report(report, better, command)
    print("\nrecords:", visible(str(store_of(experiment, output_dir).path)))
    for picture in pictures:
        print(visible(f"picture: {picture}"))
    if report_path is not None:
        print(visible(f"page: {report_path}"))
    return status


def _experiments(config: CrcStudyConfig, scorer: str | None) -> list[AnyExperiment]:
    """Make the experiment of the search, in the process that mirrors it."""
    from slr.crc.scorer import load_scorer
    from slr.crc.study import crc_experiment

    return [crc_experiment(config, None if scorer is None else load_scorer(scorer))]


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
