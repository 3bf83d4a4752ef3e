"""What a whole run writes names no secret of the environment, no user and no place on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CheckpointPairs

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
SECRETS = {
    "WANDB_API_KEY": "5ec7e7a1" * 5,
    "SLR_JUDGE_API_KEY": "sk-judge-5ec7e7b2",
    "SLR_JUDGE2_API_KEY": "sk-judge-5ec7e7b3",
    "HF_TOKEN": "hf_5ec7e7c4",
    "OPENAI_API_KEY": "sk-open-5ec7e7d5",
    "SOME_PASSWORD": "pass-5ec7e7e6",
}
USER = "marked-user-5ec7e7f7"


@pytest.fixture(scope="module")
def outputs(checkpoint_pairs: CheckpointPairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all experiments in smoke size, of the figures, and of the hybrid built from a pair in the user's home."""
    home = tmp_path_factory.mktemp("homes") / USER
    pair = home / "models" / "pair"
    for source in checkpoint_pairs("llama", num_layers=6):
        shutil.copytree(source, pair / source.name)
    output_dir = tmp_path_factory.mktemp("outputs")
    environment = {**os.environ, **SECRETS, "HOME": str(home)}
    environment |= {"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(home / "matplotlib")}
    options = ["--smoke", "--wandb", "offline", "--output-dir", str(output_dir / "run")]
    build = ["slr.cli", "build", str(pair / "base"), str(pair / "instruct"), "--layers", "1:3"]
    build += ["--search-dir", str(output_dir / "run"), "--output", str(output_dir / "hybrid")]
    program = str(ROOT / "tests" / "programs" / "tiny_run_all.py")
    for command in (
        [program, str(pair), *options],
        ["-m", *build],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=output_dir,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    return output_dir


@pytest.mark.parametrize("what", [*SECRETS, "HOME"])
def test_nothing_that_is_written_has_it(outputs: Path, what: str) -> None:
    planted = SECRETS.get(what, USER).encode()
    files = [path for path in outputs.rglob("*") if path.is_file()]
    assert {".jsonl", ".png", ".html", ".wandb", ".md", ".json"} <= {path.suffix for path in files}
    assert [str(path.relative_to(outputs)) for path in files if planted in path.read_bytes()] == []
    assert [str(path.relative_to(outputs)) for path in files if planted.decode() in str(path)] == []
