"""Find the models that come with this package: the testbed's pairs, and the laptop's start models and adapters.

A packaged model has the same name on every machine: ``testbed:llama/base`` or ``laptop:gemma/adapter``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from slr.models.start_models import LAPTOP_MODELS, LaptopModel, start_model_directory

TESTBED_PREFIX = "testbed:"
LAPTOP_PREFIX = "laptop:"

TestbedName = Literal["llama", "qwen", "gemma"]
TESTBED_NAMES: tuple[TestbedName, ...] = get_args(TestbedName)

_PACKAGE = Path(__file__).resolve().parent.parent


def packaged_directory(location: str) -> Path | None:
    """Return the checkpoint directory of a packaged model; None if the location names no packaged model.

    A laptop start model is converted to a checkpoint when it is first asked for.

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
        for known in LAPTOP_MODELS:
            if name == known and part in ("base", "adapter"):
                return start_model_directory(known) if part == "base" else adapter_directory(known)
        raise ValueError(
            f"there is no laptop model {location!r}: expected {LAPTOP_PREFIX}MODEL/PART with a model of "
            f"{', '.join(LAPTOP_MODELS)} and a part of base, adapter"
        )
    return None


def testbed_directory(family: TestbedName) -> Path:
    """Return the directory that holds the checkpoints ``base`` and ``instruct`` of a testbed family."""
    return _PACKAGE / "testbed" / "pairs" / family


def adapter_directory(name: LaptopModel) -> Path:
    """Return the directory of the LoRA adapter that post-trains a laptop start model."""
    return _PACKAGE / "laptop" / "adapters" / name
