"""Fixtures that many tests share. No test may reach the hub."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slr.plugins import load_plugin

if TYPE_CHECKING:
    from slr.runs.experiment import RunSettings

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read by huggingface_hub when it is imported, hence before any other import
)

LONGEST_FILES = (
    "test_paper_preset.py",
    "test_scripts.py",
    "test_kill_harness.py",
    "test_post_training.py",
    "test_training.py",
    "test_several_processes.py",
    "test_run_all.py",
)
"""Files that take longest. They run first, so that no worker has one of them left when the others have ended."""

CheckpointPairs = Callable[..., tuple[Path, Path]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FILES)


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """Leave out of later garbage collections what a file's imports and tests have left.

    It grows to hundreds of thousands of objects, and slr collects whenever it gives up a pair. What one file has left
    is also not finalized in the middle of another file's test.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def plugins_are_looked_up_anew() -> Iterator[None]:
    """Forget which plugins a test has loaded, because the packages that it installed are gone after it."""
    yield
    load_plugin.cache_clear()


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


@pytest.fixture(scope="session")
def smoke_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of a search of testbed-llama in smoke size and float32; they must not be altered."""
    import torch

    from slr.crc.study import SMOKE, crc_experiment
    from slr.models.presets import find_pair
    from slr.runs.experiment import RunSettings
    from slr.runs.run_experiments import run_experiment

    settings = RunSettings(output_dir=tmp_path_factory.mktemp("smoke-search"), dtype=torch.float32)
    assert not run_experiment(crc_experiment(SMOKE), find_pair("testbed-llama"), settings).failed
    return settings.output_dir


@pytest.fixture
def settings_after_search(smoke_search: Path, tmp_path: Path) -> RunSettings:
    """Settings of a run that goes on after that search, with a copy of its records."""
    import torch

    from slr.runs.experiment import RunSettings

    shutil.copy(smoke_search / "crc_search.jsonl", tmp_path)
    return RunSettings(output_dir=tmp_path, dtype=torch.float32)


@pytest.fixture
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """``slr search`` takes 4 prompts and 3 soups, and draws no PDF, which takes half a second."""
    from slr import figure_style
    from slr.crc import study

    monkeypatch.setattr(study, "FULL", study.SMOKE)
    monkeypatch.setattr(figure_style, "KINDS", ("png",))
