"""Choices that the command line offers and that runs understand.

They have a module of their own because it imports almost nothing: ``slr --help`` stays fast.
"""

from __future__ import annotations

from typing import Literal

WandbMode = Literal["offline", "online", "disabled"]
"""Way in which runs are mirrored in Weights & Biases."""

Engine = Literal["transformers", "vllm"]
"""Library that samples answers."""

EngineChoice = Literal["auto", "transformers", "vllm"]
"""Library that samples answers, as a user chooses it; "auto" leaves the choice to the run."""
