"""Arguments and options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from slr.intervals import check_components
from slr.models.presets import PRESETS
from slr.runs.modes import WandbMode
from slr.terminal.bad_input import DTYPES
from slr.terminal.command_line import beginning_with, one_of
from slr.vocabulary import COMPONENTS, Component

PAIR_NAMES = tuple(spec.name for preset in PRESETS.values() for spec in preset.pairs)
PUBLISHED = Path("paper_figures")
"""Directory of the figures that the repository keeps."""
MODEL_HELP = "directory of a checkpoint, or a model on the hub such as Qwen/Qwen2.5-7B"
PRESET_HELP = "pairs to run:\n\n" + "\n\n".join(
    f"{preset.name}: {preset.description}" for preset in PRESETS.values()
)

Base = Annotated[
    str,
    typer.Argument(
        metavar="BASE",
        help=f"base model: {MODEL_HELP}; or a preset's pair",
        autocompletion=beginning_with(PAIR_NAMES),
    ),
]
Instruct = Annotated[
    str | None,
    typer.Argument(
        metavar="INSTRUCT",
        help="post-trained model, given like BASE; leave it out if BASE is a preset's pair",
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="ADAPTER", help="PEFT LoRA adapter of BASE instead of INSTRUCT: directory or hub id"
    ),
]
Revision = Annotated[
    str | None, typer.Option(metavar="REVISION", help="commit, tag or branch of a model on the hub")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help="such as cuda:0; by default the first GPU, or the CPU if there is none"
    ),
]
# An option with a parser of its own shows no choices in the help, so the metavar lists them.
Dtype = Annotated[
    str | None,
    typer.Option(
        parser=one_of(DTYPES),
        metavar="|".join(DTYPES),
        help="dtype of the weights; by default float32 on a CPU and the checkpoint's own on a GPU",
    ),
]
DeviceMap = Annotated[
    Literal["auto"] | None,
    typer.Option(
        parser=one_of(("auto",)),
        metavar="auto",
        help="spread each model over all GPUs, if one GPU cannot hold it",
    ),
]
Components = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help=f"parts of a layer to restore, with commas between them: {', '.join(COMPONENTS)}",
    ),
]
Wandb = Annotated[
    WandbMode,
    typer.Option(
        parser=one_of(get_args(WandbMode)),
        metavar="|".join(get_args(WandbMode)),
        help="mirror the records to Weights & Biases",
    ),
]
Publish = Annotated[
    bool,
    typer.Option(
        "--publish", help="for maintainers: put figures, tables and page into paper_figures, which git tracks"
    ),
]


def published_dir(option: str) -> Path:
    """The directory of the published figures.

    Args:
        option: the option that needs it.

    Raises:
        ValueError: if there is none here.
    """
    if not PUBLISHED.is_dir():
        raise ValueError(
            f"{option} needs the directory {PUBLISHED} of a checkout: leave it out, or give it in the checkout"
        )
    return PUBLISHED


Top = Annotated[
    int, typer.Option(metavar="NUMBER", min=1, help="number of the best admissible layers to print")
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="also write a page: the choice, maps with values, every candidate, and the settings",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print everything as JSON, and nothing else")]
Trackers = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="trackers of other packages that show the results too, with commas between them; slr plugins lists them",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print results and errors only")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="print details and debug messages too")]


def names_of(names: str | None) -> tuple[str, ...]:
    """Read the value of an option that takes names, each once; None is no name."""
    given = (name.strip() for name in (names or "").split(","))
    return tuple(dict.fromkeys(name for name in given if name))


def components_of(names: str) -> tuple[Component, ...]:
    """Read the value of ``--components``.

    Raises:
        ValueError: if there is no name, or one is unknown or given twice.
    """
    given = [name.strip() for name in names.split(",")]
    check_components(given)
    return tuple(component for component in COMPONENTS if component in given)
