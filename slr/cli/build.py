"""``slr build``: write a hybrid as a checkpoint, or as an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import Adapter, Base, Components, Instruct, Quiet, Revision, Verbose, components_of
from slr.terminal.bad_input import check_output_directory, expanded
from slr.terminal.command_line import number
from slr.terminal.literal_text import visible
from slr.terminal.notices import is_verbose, notice, set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped
from slr.vocabulary import COMPONENTS

if TYPE_CHECKING:
    from slr.building.options import BuildOptions
    from slr.intervals import LayerInterval
    from slr.models.reference import PairSpec

EXAMPLE = "Example: slr build Qwen/Qwen2.5-7B Qwen/Qwen2.5-7B-Instruct --layers 12:20 --output diverse-qwen"


ALL_COMPONENTS = ",".join(COMPONENTS)


def build(
    base: Base,
    output: Annotated[Path, typer.Option(metavar="DIR", help="directory to write")],
    instruct: Instruct = None,
    adapter: Adapter = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="START:END",
            help="interval to restore; layers count from 0, END is not included; by default the choice of --search-dir",
        ),
    ] = None,
    soup: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="ALPHA",
            help="build a soup instead: all weights with this share of the base model, in (0, 1]",
        ),
    ] = None,
    as_adapter: Annotated[
        bool,
        typer.Option("--as-adapter", help="write an adapter of BASE, not a checkpoint; needs --adapter"),
    ] = False,
    alpha: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="NUMBER",
            help="share of the base model in --layers, in (0, 1]; by default 1",
        ),
    ] = None,
    components: Components = ALL_COMPONENTS,
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
            metavar="DIR",
            help="output directory of slr search: the model card has its figures, and its choice is built by default",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="upload the result into a new repository of the Hugging Face hub; needs a login by 'hf auth login'",
        ),
    ] = None,
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="with --push-to-hub, let everybody see the repository; by default it is private"
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Write a hybrid or a soup as an ordinary checkpoint, or a hybrid as an adapter.

    Without --layers and --soup, the better one of the models that the search in --search-dir chose is built. The
    checkpoint has the instruct model's tokenizer, chat template and generation settings. A manifest
    (slr_manifest.json) says where every tensor comes from, and a model card describes the hybrid.

    If the post-trained model is an adapter, --as-adapter writes the hybrid as an adapter too. It takes a few
    megabytes, and peft loads it onto BASE.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped("nothing unfinished is used, give the same command again")

    from slr.building.options import BuildOptions
    from slr.intervals import LayerInterval
    from slr.models.presets import resolve_pair

    _check_what_is_given(layers, soup, alpha, components, search_dir)
    interval = None if layers is None else LayerInterval.parse(layers)
    share = alpha if soup is None else soup
    options = BuildOptions(
        alpha=1.0 if share is None else share,
        components=components_of(components),
        overwrite=overwrite,
        verify=verify,
        search_dir=search_dir,
    )
    if public and push_to_hub is None:
        raise ValueError("--public is of --push-to-hub: give both, or leave --public out")
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
    if push_to_hub is not None:
        from slr.building.pushing import check_can_push

        check_can_push(push_to_hub)
    if layers is None and soup is None and search_dir is not None:
        interval, options = _choice(spec, search_dir, options)
    if not as_adapter:
        _write_checkpoint(spec, interval, output, options)
    elif interval is None:
        raise ValueError("a soup is of all weights, and no adapter: leave --as-adapter out, or give --layers")
    else:
        _write_adapter(spec, interval, output, options)
    if push_to_hub is not None:
        _push(output, push_to_hub, private=not public)
    _say_how_to_use(output, as_adapter)
    return 0


def _say_how_to_use(output: Path, is_adapter: bool) -> None:
    from slr.building.hand_over import commands

    for line in commands(output, is_adapter):
        notice(line)


def _push(output: Path, repository: str, private: bool) -> None:
    from slr.building.pushing import how_to_push, push

    say_when_stopped(how_to_push(output, repository, private))
    print(visible(f"pushed to {push(output, repository, private)}"))


def _check_what_is_given(
    layers: str | None, soup: float | None, alpha: float | None, components: str, search_dir: Path | None
) -> None:
    """Check that the options say what to build, and nothing that contradicts it.

    Raises:
        ValueError: if they do not.
    """
    if layers is not None and soup is not None:
        raise ValueError("--layers and --soup are both given: expected one of them")
    if layers is None and soup is None and search_dir is None:
        raise ValueError(
            "it is not said what to build: give --layers START:END, --soup ALPHA, or --search-dir with the output "
            "directory of slr search"
        )
    if layers is None and (alpha is not None or components != ALL_COMPONENTS):
        raise ValueError(
            "--alpha and --components are of restored layers: give --layers too, or leave them out"
        )
    if soup is not None and not 0 < soup <= 1:
        raise ValueError(
            f"--soup is {soup:g}, expected a number in (0, 1]: the base model's share of all weights"
        )


def _choice(
    spec: PairSpec, search_dir: Path, options: BuildOptions
) -> tuple[LayerInterval | None, BuildOptions]:
    """What a search over the pair chose, as an interval, or None for a soup, and the options with its alpha."""
    from slr.building.search_scores import choice_of_search
    from slr.intervals import Restoration
    from slr.models.opened_pair import open_pair

    choice = choice_of_search(search_dir, *open_pair(spec).sources)
    if isinstance(choice, Restoration):
        return choice.interval, replace(options, alpha=choice.alpha, components=choice.components)
    return None, replace(options, alpha=choice)


def _write_adapter(spec: PairSpec, interval: LayerInterval, output: Path, options: BuildOptions) -> None:
    from slr.building.adapter import build_adapter

    manifest = build_adapter(spec, interval, output, options)
    _print_notes(manifest.notes)
    restored = f"layers {interval} of {manifest.num_layers} restored{_share(options)}"
    print(visible(f"wrote {output}:"), f"an adapter with {restored}")


def _write_checkpoint(
    spec: PairSpec, interval: LayerInterval | None, output: Path, options: BuildOptions
) -> None:
    from slr.building.checkpoint import build as build_checkpoint
    from slr.terminal.progress import progress_bar

    with progress_bar("writing bytes") as on_progress:
        report = build_checkpoint(spec, interval, output, options, on_progress=on_progress)
    _print_notes(report.notes)
    restored = (
        f"a soup at alpha {options.alpha:g}"
        if interval is None
        else f"layers {interval} of {report.manifest.num_layers} restored{_share(options)}"
    )
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
