"""``slr build``: write a hybrid as a checkpoint, or as an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import Adapter, Base, Components, Instruct, Quiet, Revision, Verbose, components_of
from slr.terminal.bad_input import check_output_directory, expanded
from slr.terminal.command_line import number
from slr.terminal.literal_text import visible
from slr.terminal.notices import is_verbose, notice, set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped

if TYPE_CHECKING:
    from slr.building.options import BuildOptions
    from slr.intervals import LayerInterval
    from slr.models.reference import PairSpec

EXAMPLE = "Example: slr build Qwen/Qwen2.5-7B Qwen/Qwen2.5-7B-Instruct --layers 12:20 --output diverse-qwen"


def build(
    base: Base,
    layers: Annotated[
        str,
        typer.Option(
            metavar="START:END", help="interval to restore; layers count from 0, END is not included"
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="directory to write")],
    instruct: Instruct = None,
    adapter: Adapter = None,
    as_adapter: Annotated[
        bool,
        typer.Option("--as-adapter", help="write an adapter of BASE, not a checkpoint; needs --adapter"),
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(
            parser=number, metavar="NUMBER", help="share of the base model in the interval, in (0, 1]"
        ),
    ] = 1.0,
    components: Components = "attention,mlp,norms",
    base_revision: Revision = None,
    instruct_revision: Revision = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace what slr build wrote to --output before")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="read the checkpoint again, compare it with both models, and record SHA-256 digests",
        ),
    ] = False,
    search_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="output directory of slr search; the model card then has its figures"
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Write a hybrid as an ordinary checkpoint, or as an adapter.

    The checkpoint has the instruct model's tokenizer, chat template and generation settings. A manifest
    (slr_manifest.json) says where every tensor comes from, and a model card describes the hybrid.

    If the post-trained model is an adapter, --as-adapter writes the hybrid as an adapter too. It takes a few
    megabytes, and peft loads it onto BASE.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped("nothing unfinished is used, give the same command again")

    from slr.building.options import BuildOptions
    from slr.intervals import LayerInterval
    from slr.models.presets import resolve_pair

    interval = LayerInterval.parse(layers)
    options = BuildOptions(
        alpha=alpha,
        components=components_of(components),
        overwrite=overwrite,
        verify=verify,
        search_dir=search_dir,
    )
    # The build renames a finished directory into place, so its parent must be writable.
    check_output_directory(expanded(output, "--output").parent, "the directory of --output")
    if as_adapter and instruct is not None:
        raise ValueError("--as-adapter needs --adapter ADAPTER in place of an instruct model")
    if as_adapter and verify:
        raise ValueError("--verify is for checkpoints: leave it out, or leave --as-adapter out")
    spec = resolve_pair(
        base,
        instruct,
        adapter=adapter,
        base_revision=base_revision,
        instruct_revision=instruct_revision,
    )
    sign_of_life(f"{spec.name}: opening the models ...")
    write = _write_adapter if as_adapter else _write_checkpoint
    write(spec, interval, output, options)
    return 0


def _write_adapter(spec: PairSpec, interval: LayerInterval, output: Path, options: BuildOptions) -> None:
    from slr.building.adapter import build_adapter

    manifest = build_adapter(spec, interval, output, options)
    _print_notes(manifest.notes)
    restored = f"layers {interval} of {manifest.num_layers} restored{_share(options)}"
    print(visible(f"wrote {output}:"), f"an adapter with {restored}")


def _write_checkpoint(spec: PairSpec, interval: LayerInterval, output: Path, options: BuildOptions) -> None:
    from slr.building.checkpoint import build as build_checkpoint
    from slr.terminal.progress import progress_bar

    with progress_bar("writing bytes") as on_progress:
        report = build_checkpoint(spec, interval, output, options, on_progress=on_progress)
    _print_notes(report.notes)
    restored = f"layers {interval} of {report.manifest.num_layers} restored{_share(options)}"
    print(
        f"wrote {visible(str(report.output_dir))}: {restored} "
        f"({report.num_restored} of {len(report.manifest.tensors)} tensors, {report.num_bytes / 1e6:,.1f} MB "
        f"in {report.seconds:.2f} s{', verified' if options.verify else ''})"
    )
    if report.mergekit_yaml is not None and is_verbose():
        print("\nthe same tensors with mergekit:\n\n" + visible(report.mergekit_yaml, keep="\n"), end="")


def _share(options: BuildOptions) -> str:
    """How much of each layer is restored, for a message; empty if the whole layers are."""
    return f" ({options.stack})" if str(options.stack) else ""


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        notice(f"note: {note}")
