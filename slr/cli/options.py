"""Arguments and options that several commands have, with their help."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import typer

from slr.models.presets import PRESETS
from slr.runs.modes import WandbMode
from slr.terminal.bad_input import DTYPES
from slr.terminal.command_line import one_of

MODEL_HELP = "directory of a checkpoint, or a model on the hub such as Qwen/Qwen2.5-7B"
PRESET_HELP = "; ".join(f"{preset.name}: {preset.description}" for preset in PRESETS.values())

Base = Annotated[str, typer.Argument(metavar="BASE", help=f"pre-trained model: {MODEL_HELP}")]
Instruct = Annotated[
    str | None,
    typer.Argument(metavar="[INSTRUCT]", help="post-trained model, as BASE; none if BASE is a preset's pair"),
]
Adapter = Annotated[
    str | None, typer.Option(help="in place of INSTRUCT, a PEFT LoRA adapter of BASE: directory or hub id")
]
Revision = Annotated[str | None, typer.Option(help="commit, tag or branch, for a model on the hub")]
Device = Annotated[str | None, typer.Option(help="such as cuda:0; by default the first GPU, else the CPU")]
Dtype = Annotated[
    str | None,
    typer.Option(
        parser=one_of(DTYPES),
        metavar="|".join(DTYPES),
        help="by default float32 on a CPU, and the checkpoints' own on a GPU",
    ),
]
DeviceMap = Annotated[
    Literal["auto"] | None,
    typer.Option(
        parser=one_of(("auto",)),
        metavar="auto",
        help="spread each model over all GPUs, for models that one does not hold",
    ),
]
Wandb = Annotated[
    WandbMode,
    typer.Option(
        parser=one_of(get_args(WandbMode)),
        metavar="|".join(get_args(WandbMode)),
        help="mirror to Weights & Biases",
    ),
]
