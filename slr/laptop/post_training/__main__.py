"""Post-train one model: ``python -m slr.laptop.post_training --model gemma --output-dir DIR``; again, to go on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slr.laptop.post_training.recipe import VARIANTS, Recipe
from slr.models.start_models import LAPTOP_MODELS


def main(argv: list[str] | None = None) -> int:
    """Do what is missing of a training."""
    parser = argparse.ArgumentParser(
        prog="python -m slr.laptop.post_training",
        description="Post-train one of the laptop's models; the same command goes on with a stopped training.",
    )
    parser.add_argument("--model", choices=LAPTOP_MODELS, required=True)
    parser.add_argument(
        "--variant", choices=VARIANTS, default="lora", help="an adapter, or all decoder layers"
    )
    parser.add_argument(
        "--lambda",
        dest="typicality_weight",
        type=float,
        default=1.0,
        metavar="WEIGHT",
        help="of typicality in the reward",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", type=Path, required=True, help="of all trainings")
    options = parser.parse_args(argv)
    from slr.laptop.post_training.stages import post_train

    try:
        recipe = Recipe(
            model=options.model,
            variant=options.variant,
            typicality_weight=options.typicality_weight,
            seed=options.seed,
        )
        post_train(recipe, options.output_dir)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
