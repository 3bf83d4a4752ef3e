"""Post-train one model: ``python -m slr.laptop.post_training --model gemma --output-dir DIR``; again, to go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slr.laptop.post_training.recipe import VARIANTS, Recipe
from slr.models.start_models import LAPTOP_MODELS
from slr.terminal.command_line import one_of, run_function


def post_train_model(
    model: Annotated[str, typer.Option(parser=one_of(LAPTOP_MODELS))],
    output_dir: Annotated[Path, typer.Option(help="of all trainings")],
    variant: Annotated[
        str, typer.Option(parser=one_of(VARIANTS), help="lora: an adapter; full: the decoder layers")
    ] = "lora",
    typicality_weight: Annotated[
        float, typer.Option("--lambda", help="share of preferences that look at typicality")
    ] = 1.0,
    seed: int = 0,
    sampling_batch: Annotated[
        int, typer.Option(min=1, help="prompts whose samples are drawn at once; a GPU wants more")
    ] = Recipe.sampling_batch,
) -> None:
    """Do what is missing of a training."""
    recipe = Recipe.of_model(
        model,  # pyright: ignore[reportArgumentType]
        variant=variant,
        typicality_weight=typicality_weight,
        seed=seed,
        sampling_batch=sampling_batch,
    )
    from slr.laptop.post_training.stages import post_train

    post_train(recipe, output_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    description = "Post-train one of the laptop's models from its start model."
    return run_function(post_train_model, arguments, description, "the same command goes on where it was")


if __name__ == "__main__":
    raise SystemExit(main())
