"""Two real language models that need no model hub: they come inside packages of the Python registry.

SmolLM2-135M-Instruct (a Llama architecture) and gemma-3-270m are the *start* models, which stand for the
base models of their pairs. The post-trained models are start models plus the LoRA adapters in ``adapters``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

LaptopModel = Literal["smollm2", "gemma"]
LAPTOP_MODELS: tuple[LaptopModel, ...] = get_args(LaptopModel)


def adapter_directory(name: LaptopModel) -> Path:
    """Where the adapter that post-trains a start model is."""
    return Path(__file__).parent / "adapters" / name
