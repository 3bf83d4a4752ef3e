"""Choices that the command line offers and that runs understand. It is apart because it takes no time to import."""

from __future__ import annotations

from typing import Literal

WandbMode = Literal["offline", "online", "disabled"]
"""How runs are mirrored in Weights & Biases."""

Engine = Literal["transformers", "vllm"]
"""What samples answers."""
