# pyright: reportPrivateUsage=false

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from slr.runs import provenance as module
from slr.runs.provenance import config_hash, describe_device, provenance


@dataclass(frozen=True)
class Settings:
    ratio: float = 0.9
    alphas: tuple[float, ...] = (0.0, 1.0)


@pytest.fixture
def fresh_code_version():
    module._code_version.cache_clear()
    yield
    module._code_version.cache_clear()


def test_hash_depends_on_every_setting_and_on_the_dtype_only():
    assert config_hash(Settings(), "float32") == config_hash(Settings(), "float32")
    hashes = {
        config_hash(Settings(), "float32"),
        config_hash(Settings(), "bfloat16"),
        config_hash(Settings(ratio=0.8), "float32"),
        config_hash(Settings(alphas=(0.0,)), "float32"),
    }
    assert len(hashes) == 4
    assert all(len(value) == 12 for value in hashes)


@pytest.mark.usefixtures("fresh_code_version")
def test_a_checkout_gives_its_commit():
    found = provenance("llama/search", "0" * 12, "CPU, 2 threads")
    assert found.cell == "llama/search"
    assert found.versions.keys() == {"slr", "torch", "transformers", "numpy"}
    assert found.commit == "unknown" or len(found.commit) == 40


@pytest.mark.usefixtures("fresh_code_version")
@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")])
def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(module, "_git", fail)
    found = provenance("cell", "0" * 12, "CPU")
    assert (found.commit, found.dirty) == ("unknown", None)


def test_names_the_cpu_by_its_threads():
    import torch

    assert describe_device("cpu") == f"CPU, {torch.get_num_threads()} threads"


def test_importing_it_loads_nothing_heavy():
    code = "import sys, slr.runs.provenance, slr.runs.results_store, slr.runs.script; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
