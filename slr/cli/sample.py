"""``slr sample``: see what hybrids and soups of a pair answer, before one of them is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slr.cli.options import Adapter, AsJson, Base, Device, Dtype, Instruct, Quiet, Revision, Verbose
from slr.sampling.config import SamplingConfig
from slr.terminal.command_line import NOTHING_IS_KEPT, number
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped

EXAMPLE = 'Example: slr sample testbed-llama --layers 6:9 --soup 0.4 --prompt "Name a color." -n 12'
DEFAULTS = SamplingConfig()


def sample(
    base: Base,
    instruct: Instruct = None,
    adapter: Adapter = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="START:END",
            help="layers to restore; give it again for another hybrid, or use --search-dir",
        ),
    ] = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option(
            parser=number,
            metavar="NUMBER",
            help="share of the base model in the restored layers, in (0, 1]; may be given again; by default 1",
        ),
    ] = None,
    soup: Annotated[
        list[float] | None,
        typer.Option(
            parser=number,
            metavar="NUMBER",
            help="also a soup, with this share of the base model in all weights, in [0, 1]; may be given again",
        ),
    ] = None,
    search_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="output directory of slr search, whose best candidates stand for --layers"
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="what to ask; may be given again")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="text file with a prompt in each line")
    ] = None,
    num_samples: Annotated[
        int, typer.Option("-n", "--num-samples", min=1, help="answers of each model to each prompt")
    ] = 8,
    valid: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="what a valid answer matches as a whole, without regard to case"),
    ] = None,
    temperature: Annotated[float, typer.Option(parser=number, metavar="NUMBER")] = DEFAULTS.temperature,
    min_p: Annotated[float, typer.Option(parser=number, metavar="NUMBER")] = DEFAULTS.min_p,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = DEFAULTS.max_new_tokens,
    seed: int = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="also write a page with the answers side by side")
    ] = None,
    as_json: AsJson = False,
    base_revision: Revision = None,
    instruct_revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Show what the instruct model, hybrids and soups answer, side by side.

    Without --layers, the best candidates of a search are asked (--search-dir). All models get the same random
    numbers. Nothing is written, unless --html asks for a page.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped(NOTHING_IS_KEPT)
    texts = _prompts(prompt or [], prompts)
    sampling = SamplingConfig(temperature=temperature, min_p=min_p, max_new_tokens=max_new_tokens)
    if html is not None:
        from slr.terminal.bad_input import check_output_directory

        check_output_directory(html.parent, "the directory of --html")

    from slr.intervals import LayerInterval, Restoration, Stack
    from slr.models.presets import resolve_pair

    stacks = [Stack(share) for share in alpha or [1.0]]
    if wrong := [share for share in soup or [] if not 0 <= share <= 1]:
        raise ValueError(f"--soup is {wrong[0]:g}, expected a number in [0, 1]: the base model's share")
    hybrids = [Restoration(LayerInterval.parse(text), stack) for text in layers or [] for stack in stacks]
    if not hybrids and search_dir is None and not soup:
        raise ValueError(
            "there is nothing to compare with the instruct model: give --layers, --soup, or --search-dir with the "
            "output directory of slr search"
        )
    spec = resolve_pair(
        base,
        instruct,
        adapter=adapter,
        base_revision=base_revision,
        instruct_revision=instruct_revision,
    )
    sign_of_life(f"{spec.name}: opening the models ...")

    from slr.models.loading import load_spec
    from slr.models.quiet_libraries import quiet_libraries
    from slr.runs.device import choose_device_and_dtype
    from slr.terminal.progress import progress_bar
    from slr.trials.shown import print_trial, write_trial
    from slr.trials.trial import ask
    from slr.trials.variants import best_of_search, variants

    if not hybrids and search_dir is not None:
        hybrids = best_of_search(search_dir, spec)
    device, torch_dtype = choose_device_and_dtype(device, dtype)
    pair = load_spec(spec, dtype=torch_dtype, device=device)
    for hybrid in hybrids:
        hybrid.interval.check_within(pair.num_layers)
    with quiet_libraries(), progress_bar("models asked") as on_variant:
        trial = ask(
            pair,
            variants(hybrids, soup or []),
            texts,
            num_samples,
            sampling,
            seed,
            valid_pattern=valid,
            on_variant=on_variant,
        )
    if as_json:
        print(json.dumps(trial.model_dump(), indent=1, ensure_ascii=True))
    else:
        print_trial(trial)
    if html is not None:
        write_trial(trial, html)
    return 0


def _prompts(given: list[str], path: Path | None) -> list[str]:
    """The prompts of both options, without blank ones.

    Raises:
        ValueError: if there is none, or the file cannot be read as text.
    """
    lines: list[str] = []
    if path is not None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ValueError(f"--prompts is {path}, which cannot be read: {reason}") from None
    found = [text for text in (*given, *lines) if text.strip()]
    if not found:
        raise ValueError('there is no prompt: give --prompt "TEXT", or --prompts FILE with one in each line')
    return found
