"""What an extra brings is asked for in one line where it is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slr.terminal.extras import EXTRA_OF, check_installed

ROOT = Path(__file__).parents[2]
JUDGE = {"SLR_JUDGE_BASE_URL": "http://127.0.0.1:9/v1", "SLR_JUDGE_MODEL": "m"}
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from slr.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("wandb", ["search", "testbed-llama", "--wandb", "offline"], "experiments"),
        ("wandb", ["run", "crc_search"], "experiments"),
        ("lm_eval", ["run", "all", "--wandb", "disabled"], "experiments"),
        ("openai", ["run", "judge", "--wandb", "disabled"], "judge"),
        ("wandb", ["figures", "--wandb", "team/slr"], "experiments"),
        ("wandb_workspaces", ["dashboard", "--wandb", "team/slr"], "dashboard"),
    ],
)
def test_a_missing_package_is_one_line_before_any_work(
    package: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    code = WITHOUT.format(package=package, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **JUDGE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert f"{package}, which is not installed: run pip install '.[{extra}]'" in done.stderr
    assert not any(tmp_path.iterdir())


def test_what_is_installed_is_no_error() -> None:
    for package in EXTRA_OF:
        check_installed(package, "this test")
