"""Find the models that come with this package: the testbed's pairs, and the laptop's start and post-trained models.

A packaged model has the same name on every machine: ``testbed:llama/base`` or ``laptop:gemma/adapter``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from slr.models.start_models import (
    LAPTOP_MODELS,
    LaptopModel,
    full_variant_directory,
    start_model_directory,
)

TESTBED_PREFIX = "testbed:"
LAPTOP_PREFIX = "laptop:"

TestbedName = Literal["llama", "qwen", "gemma"]
TESTBED_NAMES: tuple[TestbedName, ...] = get_args(TestbedName)

POST_TRAINED: dict[LaptopModel, Literal["adapter", "full"]] = {"smollm2": "full", "gemma": "adapter"}
"""What the post-trained model of a start model is: an adapter, or a full variant as differences of decoder layers."""
LAYERS_FILE = "layer_differences.safetensors"

_PACKAGE = Path(__file__).resolve().parent.parent


def packaged_directory(location: str) -> Path | None:
    """Return the checkpoint directory of a packaged model; None if the location names no packaged model.

    A laptop model is converted to a checkpoint when it is first asked for.

    Raises:
        ValueError: if there is no packaged model of that name, or its registry package is not installed.
    """
    if location.startswith(TESTBED_PREFIX):
        family, _, side = location.removeprefix(TESTBED_PREFIX).partition("/")
        for known in TESTBED_NAMES:
            if family == known and side in ("base", "instruct"):
                return testbed_directory(known) / side
        raise ValueError(
            f"there is no testbed model {location!r}: expected {TESTBED_PREFIX}FAMILY/SIDE with a family of "
            f"{', '.join(TESTBED_NAMES)} and a side of base, instruct"
        )
    if location.startswith(LAPTOP_PREFIX):
        name, _, part = location.removeprefix(LAPTOP_PREFIX).partition("/")
        for known, post_trained in POST_TRAINED.items():
            if name == known and part == "base":
                return start_model_directory(known)
            if name == known and part == post_trained:
                weights = weights_directory(known)
                return weights if part == "adapter" else full_variant_directory(known, weights / LAYERS_FILE)
        names = (
            f"{LAPTOP_PREFIX}{name}/{part}" for name in LAPTOP_MODELS for part in ("base", POST_TRAINED[name])
        )
        raise ValueError(f"there is no laptop model {location!r}: expected one of {', '.join(names)}")
    return None


def testbed_directory(family: TestbedName) -> Path:
    """Return the directory that holds the checkpoints ``base`` and ``instruct`` of a testbed family."""
    return _PACKAGE / "testbed" / "pairs" / family


def weights_directory(name: LaptopModel) -> Path:
    """Return the directory of the weights that post-train a laptop start model."""
    return _PACKAGE / "laptop" / "weights" / name
