"""The code that a reader copies: blocks of Python on the pages, and the notebook, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from slr import cli

ROOT = Path(__file__).parents[2]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_blocks(page: str) -> dict[str, Any]:
    """Run a page's blocks of Python one after the other, as a reader would; give what they define."""
    text = (ROOT / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = list(PYTHON_BLOCK.finditer(text))
    assert blocks, f"{page} has no Python"
    for block in blocks:
        # The lines before it are left empty, so that a traceback has the page's own line numbers.
        code = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        exec(compile(code, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_readme_goes_from_a_pair_to_texts() -> None:
    names = run_blocks("README.md")
    assert len(names["texts"]) == 1
    assert len(names["texts"][0]) == 8


def test_a_built_hybrid_is_served_as_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "testbed-llama", "--layers", "6:9", "--output", "my-hybrid"]) == 0
    capsys.readouterr()
    run_blocks("examples/build_and_serve.md")
    assert len(capsys.readouterr().out.splitlines()) >= 8


def test_the_notebook_draws_two_plots_of_a_runs_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ["--smoke", "--families", "llama", "--wandb", "disabled", "--output-dir", str(tmp_path)]
    assert cli.main(["run", "open_qa", *options]) == 0
    monkeypatch.setenv("SLR_RESULTS", str(tmp_path))
    notebook = nbformat.read(ROOT / "examples/browse_records.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "instruct" in outputs[-1]["text"]


def test_the_page_on_extending_is_what_the_code_does() -> None:
    run_blocks("docs/extending.md")
