"""The command line: ``slr search``, ``slr build``, ``slr score``. Heavy packages load when a command runs."""

from __future__ import annotations

import gc
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from slr.crc.selection import MIN_VALIDITY_RATIO
from slr.terminal.bad_input import (
    BAD_INPUT,
    DTYPES,
    check_arguments,
    check_environment,
    check_one_of,
    check_output_directory,
    did_you_mean,
    expanded,
    print_error,
)
from slr.terminal.literal_text import visible
from slr.terminal.stopping import run_until_stopped

if TYPE_CHECKING:
    from slr.crc.report import CrcReport
    from slr.intervals import LayerInterval
    from slr.models.reference import PairSpec
    from slr.statistics.uncertainty import Estimate

app = typer.Typer(
    help="Selective Layer Restoration: give a post-trained language model its diversity back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

STOPPED = 130
"""The exit status after Ctrl-C, as shells have it."""
CLICK_EXCEPTION = cast(
    "type[typer.BadParameter]",
    next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)
"""What typer raises for wrong options; where click is, depends on typer's version."""

MODEL_HELP = "directory of a checkpoint, or a model on the hub such as Qwen/Qwen2.5-7B"
Base = Annotated[str, typer.Argument(help=f"pre-trained model: {MODEL_HELP}")]
Instruct = Annotated[
    str | None, typer.Argument(help="post-trained model, as BASE; none if BASE is a preset's pair")
]
AdapterOption = Annotated[
    str | None, typer.Option(help="in place of INSTRUCT, a PEFT LoRA adapter of BASE: directory or hub id")
]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"it is {text!r}, expected a number") from None


Revision = Annotated[str | None, typer.Option(help="commit, tag or branch, for a model on the hub")]
Device = Annotated[str | None, typer.Option(help="such as cuda:0; by default the first GPU, else the CPU")]
Dtype = Annotated[str | None, typer.Option(help="float32 or bfloat16; by default float32 on a CPU")]


@app.command(
    epilog="Example: slr search meta-llama/Llama-3.1-8B meta-llama/Llama-3.1-8B-Instruct --output-dir llama"
)
def search(
    base: Base,
    instruct: Instruct = None,
    adapter: AdapterOption = None,
    output_dir: Annotated[Path | None, typer.Option(help="default: results/NAME-OF-THE-PAIR")] = None,
    base_revision: Revision = None,
    instruct_revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            help="leave the layers on disk and read each when needed; by default if the pair does not fit"
        ),
    ] = None,
    device_map: Annotated[
        str | None,
        typer.Option(help="auto: spread each model over all GPUs, for models that one does not hold"),
    ] = None,
    min_validity: Annotated[
        float,
        typer.Option(
            parser=_number, metavar="RATIO", help="share of the instruct model's validity to keep, in (0, 1]"
        ),
    ] = MIN_VALIDITY_RATIO,
    margin: Annotated[
        bool, typer.Option("--margin", help="choose carefully: the share's 95% interval must keep RATIO too")
    ] = False,
    wandb: Annotated[str, typer.Option(help="mirror to W&B: offline, online or disabled")] = "disabled",
) -> None:
    """Score every layer range by CRC, choose the best one, and say how to build it.

    BASE and INSTRUCT are two checkpoints of one architecture, or BASE and --adapter a model and a LoRA
    adapter of it; or BASE alone is the name of a preset's pair, such as testbed-llama. Records, heatmap and
    trade-off plot go to the output directory. A search that was stopped goes on where it was; with another
    --min-validity or --margin it chooses anew out of the same scores.
    """
    if wandb not in ("offline", "online", "disabled"):
        raise ValueError(
            f"--wandb is {wandb!r}, expected offline, online or disabled"
            f"{did_you_mean(wandb, ('offline', 'online', 'disabled'))}"
        )
    if dtype is not None:
        check_one_of("--dtype", dtype, DTYPES)
    if device_map is not None:
        check_one_of("--device-map", device_map, ("auto",))
    check_environment(uses_wandb=wandb != "disabled")
    if not 0 < min_validity <= 1:
        raise ValueError(
            f"--min-validity is {min_validity:g}, expected a number above 0 and at most 1: the share of the instruct "
            "model's validity that the choice must keep"
        )

    import dataclasses

    from slr.crc.plots import save_pictures
    from slr.crc.prompts import PROMPT_SETS
    from slr.crc.report import crc_report
    from slr.crc.scoring import encode_prompts
    from slr.crc.study import CrcStudyConfig, crc_experiment
    from slr.models.loading import load_spec
    from slr.models.presets import resolve_pair
    from slr.runs.experiment import RunSettings, run_experiment, store_of
    from slr.runs.output_lock import check_still_there, output_lock
    from slr.runs.processes import launched_processes
    from slr.runs.script import choose_device_and_dtype
    from slr.runs.tracking import check_account, mirror_pair

    config = CrcStudyConfig(min_validity_ratio=min_validity, margin=margin)
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
    device, torch_dtype = choose_device_and_dtype(device, dtype, processes)
    settings = RunSettings(
        output_dir=output_dir, device=device, dtype=torch_dtype, device_map=device_map, processes=processes
    )
    experiment = crc_experiment(config)
    with output_lock(output_dir, processes):
        if processes.is_main:
            check_account(wandb, output_dir)
        # Loaded before anything is written, so that what is wrong with the pair is said at once.
        pair = load_spec(
            spec,
            dtype=torch_dtype,
            device=device,
            stream=stream,
            device_map=device_map,
            check_tokenizer=lambda tokenizer: [
                encode_prompts(config.prompts(prompt_set), tokenizer) for prompt_set in PROMPT_SETS
            ],
        )
        if processes.is_main:
            for note in pair.notes:
                print(visible(f"note: {note}"), file=sys.stderr)
        # With the commits that were found, because a branch of a hub model moves on.
        spec = dataclasses.replace(
            spec, base=pair.base, instruct=pair.instruct, family=pair.family, num_layers=pair.num_layers
        )
        outcome = run_experiment(experiment, spec, settings, dataclasses.replace(pair, name=spec.name))
        check_still_there(output_dir)
        if outcome.failed:
            raise typer.Exit(1)
        if not processes.is_main:
            return
        records = store_of(experiment, output_dir).read()
        report = crc_report(records, spec.name, config.rule)
        pictures = save_pictures([report], records, output_dir / "figures")
        mirror_pair(experiment, spec, output_dir, wandb, pictures)
    _print_report(report)
    print("\nrecords:", visible(str(store_of(experiment, output_dir).path)))
    for picture in pictures:
        print(visible(f"picture: {picture}"))
    if report.interval is not None:
        print("\nto build this hybrid:\n")
        print(visible("  " + _build_command(spec, report.interval, output_dir)))


@app.command(
    epilog="Example: slr build Qwen/Qwen2.5-7B Qwen/Qwen2.5-7B-Instruct --layers 12:20 --output diverse-qwen"
)
def build(
    base: Base,
    layers: Annotated[str, typer.Option(help="layers to restore, START:END, from 0, END not included")],
    output: Annotated[Path, typer.Option(help="directory to write")],
    instruct: Instruct = None,
    adapter: AdapterOption = None,
    as_adapter: Annotated[
        bool, typer.Option("--as-adapter", help="write an adapter of BASE again, not a merged checkpoint")
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(
            parser=_number, metavar="NUMBER", help="the base model's share within the layers, in (0, 1]"
        ),
    ] = 1.0,
    base_revision: Revision = None,
    instruct_revision: Revision = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace what slr build wrote there")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="read it again, compare it with both models, record SHA-256")
    ] = False,
    search_dir: Annotated[
        Path | None, typer.Option(help="output directory of slr search, for figures in the model card")
    ] = None,
) -> None:
    """Write the hybrid as a checkpoint that any tool for checkpoints can load.

    It has the instruct model's tokenizer, chat template and generation settings, a manifest that says where
    every tensor came from (slr_manifest.json), and a model card. Of an adapter's hybrid, --as-adapter writes
    a few megabytes that peft loads onto BASE.
    """
    from slr.intervals import LayerInterval, check_alpha

    interval = LayerInterval.parse(layers)
    check_alpha(alpha)
    check_output_directory(expanded(output, "--output").parent, "the directory of --output")

    from slr.building.checkpoint import build as build_checkpoint
    from slr.terminal.progress import progress_bar

    share = "" if alpha == 1 else f" at alpha {alpha:g}"
    if as_adapter:
        from slr.building.adapter import build_adapter

        if instruct is not None:
            raise ValueError("--as-adapter needs --adapter ADAPTER in place of an instruct model")
        if verify:
            raise ValueError("--verify is for checkpoints: leave it out, or leave --as-adapter out")
        manifest = build_adapter(
            base,
            adapter,
            interval,
            output,
            alpha=alpha,
            overwrite=overwrite,
            search_dir=search_dir,
            base_revision=base_revision,
            adapter_revision=instruct_revision,
        )
        for note in manifest.notes:
            print(visible(f"note: {note}"), file=sys.stderr)
        wrote = visible(f"wrote {output}:")
        print(f"{wrote} an adapter with layers {interval} of {manifest.num_layers} restored{share}")
        return
    with progress_bar("writing bytes") as on_progress:
        report = build_checkpoint(
            base,
            instruct,
            interval,
            output,
            adapter=adapter,
            alpha=alpha,
            overwrite=overwrite,
            verify=verify,
            search_dir=search_dir,
            base_revision=base_revision,
            instruct_revision=instruct_revision,
            on_progress=on_progress,
        )
    for note in report.notes:
        print(visible(f"note: {note}"), file=sys.stderr)
    print(
        f"wrote {visible(str(report.output_dir))}: layers {interval} of {report.manifest.num_layers} restored{share} "
        f"({report.num_restored} of {len(report.manifest.tensors)} tensors, {report.num_bytes / 1e6:,.1f} MB "
        f"in {report.seconds:.2f} s{', verified' if verify else ''})"
    )
    if report.mergekit_yaml is not None:
        print("\nthe same tensors with mergekit:\n\n" + visible(report.mergekit_yaml, keep="\n"), end="")


@app.command(epilog="Example: slr score google/gemma-2-9b --chat-template-from google/gemma-2-9b-it")
def score(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    chat_template_from: Annotated[
        str | None, typer.Option(help="model whose tokenizer renders the prompts, for a base model")
    ] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Print CRC validity and diversity of one checkpoint, with 95% intervals."""
    if dtype is not None:
        check_one_of("--dtype", dtype, DTYPES)

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from slr.chat.template import check_template
    from slr.crc.prompts import PROMPT_SETS, load_prompts
    from slr.crc.scoring import encode_prompts, score_model
    from slr.models.checkpoint import open_checkpoint
    from slr.models.compatibility import check_tokenizer_fits
    from slr.models.loading import load_opened
    from slr.runs.script import choose_device_and_dtype
    from slr.statistics.uncertainty import estimate_mean

    device, torch_dtype = choose_device_and_dtype(device, dtype)
    checkpoint = open_checkpoint(model, revision=revision)
    renderer = open_checkpoint(chat_template_from) if chat_template_from else checkpoint
    tokenizer = check_tokenizer_fits(checkpoint, renderer)
    check_template(tokenizer, checkpoint.num_embeddings)
    encoded = {prompt_set: encode_prompts(load_prompts(prompt_set), tokenizer) for prompt_set in PROMPT_SETS}
    loaded = load_opened(checkpoint, dtype=torch_dtype, device=device)
    title = Text(visible(f"CRC of {loaded.reference}"), style="table.title")
    table = Table("prompts", "validity", "diversity", title=title)
    for prompt_set in PROMPT_SETS:
        scores = score_model(loaded.model, encoded[prompt_set])
        scores.check_finite(str(loaded.reference))
        validity, diversity = estimate_mean(scores.validity), estimate_mean(scores.diversity)
        table.add_row(prompt_set.replace("_", "-"), _cell(validity), _cell(diversity))
    Console(width=max(100, Console().width)).print(table)


def _print_report(report: CrcReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from slr.crc.report import rule_in_words

    console = Console(width=max(136, Console().width))
    chosen = f"layers {report.interval} of {report.num_layers}" if report.interval else "no layers"
    console.print(Text(f"\n{visible(report.pair)}: {chosen}", style="bold"))
    console.print(Text(f"{visible(report.interval_reason)}\n"))
    table = Table(
        "model", "prompts", "validity", "diversity", "validity / instruct's", "diversity less instruct's"
    )
    for line in report.models:
        is_reference = line.model == "instruct"
        table.add_row(
            _model_name(line.model, report),
            line.prompt_set.replace("_", "-"),
            _cell(line.validity),
            _cell(line.diversity),
            "" if is_reference else _cell(line.validity_ratio),
            "" if is_reference else _cell(line.diversity_difference),
        )
    console.print(table)
    best = Table("best admissible layers", "validity", "diversity", "validity / instruct's")
    for candidate in report.best:
        scores = (f"{candidate.validity:.3f}", f"{candidate.diversity:.3f}")
        best.add_row(str(candidate.choice), *scores, _cell(candidate.validity_ratio))
    console.print(best)
    console.print(f"{len(report.front)} of all intervals are on the Pareto front.", highlight=False)
    for sentence in rule_in_words(report):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _model_name(model: str, report: CrcReport) -> str:
    if model == "hybrid":
        return f"hybrid {report.interval}"
    return f"soup, alpha {report.soup_alpha:g}" if model == "soup" else model


def _cell(estimate: Estimate | None) -> str:
    return "n/a" if estimate is None else str(estimate)


def _build_command(spec: PairSpec, interval: LayerInterval, search_dir: Path) -> str:
    option = ["--adapter"] if spec.instruct_is_adapter else []
    locations = [location.location for location in (spec.base, spec.instruct)]
    # A path that begins with a dash would be taken for an option.
    base, instruct = (f"./{location}" if location.startswith("-") else location for location in locations)
    words = ["slr", "build", base, *option, instruct, "--layers", str(interval)]
    for option_name, reference in (("--base-revision", spec.base), ("--instruct-revision", spec.instruct)):
        if reference.revision is not None:
            words += [option_name, reference.revision]
    return shlex.join([*words, "--search-dir", str(search_dir), "--output", f"{spec.name}-slr"])


HOW_TO_GO_ON = {
    "search": "the same command goes on from the records that are there",
    "build": "nothing unfinished is used, give the same command again",
}


def main() -> None:
    """Entry point: a mistake of the user is one line and exit status 2, never a traceback."""
    # Imports make hundreds of thousands of objects that stay; to look for garbage among them every 700 takes a second.
    gc.set_threshold(100_000, 10, 10)
    command = next((argument for argument in sys.argv[1:] if argument in HOW_TO_GO_ON), "")
    how_to_go_on = HOW_TO_GO_ON.get(command, "give the same command again")
    raise SystemExit(run_until_stopped(_run, how_to_go_on))


def _run() -> int:
    arguments = sys.argv[1:]
    try:
        check_arguments(arguments)
        check_environment()
        # Without arguments typer shows the help; otherwise it would say what is wrong in several lines.
        status = app(standalone_mode=not arguments)
    except CLICK_EXCEPTION as error:
        print_error(f"{error.format_message()} (see slr --help)")
        return BAD_INPUT
    except (ValueError, OSError) as error:
        print_error(error)
        return BAD_INPUT
    if status == STOPPED:  # typer returns it in place of the exception
        raise KeyboardInterrupt
    return status or 0
