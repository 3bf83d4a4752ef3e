"""Fixtures that many tests share. No test may reach the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read by huggingface_hub when it is imported, hence before any other import
)

CheckpointPairs = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="session")
def checkpoint_pairs(tmp_path_factory: pytest.TempPathFactory) -> CheckpointPairs:
    """``make_checkpoint_pair`` without its directory; each pair is made once, and must not be altered."""
    from tests.tiny_models import make_checkpoint_pair

    made: dict[str, tuple[Path, Path]] = {}

    def checkpoint_pair(architecture: str, **options: object) -> tuple[Path, Path]:
        key = f"{architecture} {sorted(options.items(), key=lambda option: option[0])}"
        if key not in made:
            made[key] = make_checkpoint_pair(tmp_path_factory.mktemp(architecture), architecture, **options)  # pyright: ignore[reportArgumentType]
        return made[key]

    return checkpoint_pair


@pytest.fixture
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """``slr search`` takes 4 prompts and 3 soups."""
    from slr.crc import study

    monkeypatch.setattr(study, "FULL", study.SMOKE)
