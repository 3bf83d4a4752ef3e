"""The code that a reader copies: blocks on the pages and the notebook, run as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from slr.cli import main
from slr.terminal.bad_input import BAD_INPUT
from tests.installed_packages import install_project

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r'^```(python|diff|toml|sh)(?: title="([^"\n]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``title`` is the file that it is to become."""

    language: str
    title: str | None
    code: str


def blocks_of(page: str) -> Iterator[Block]:
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert found, f"{page} has no code"
    for language, title, code in found:
        yield Block(language, title or None, code)


def run_blocks(page: str) -> dict[str, Any]:
    """Run a page's blocks one after the other in this process, and give the names that they define."""
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(block.code, f"<{page}>", "exec"), names)
    return names


def apply_diff(diff: str, root: Path) -> None:
    """Apply hunks without line numbers: what a hunk removes or keeps has to stand once in its file."""
    for of_file in re.split(r"^--- a/.*\n", diff, flags=re.MULTILINE)[1:]:
        name, *hunks = re.split(r"^@@\n", of_file, flags=re.MULTILINE)
        path = root / name.strip().removeprefix("+++ b/")
        text = path.read_text(encoding="utf-8")
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            assert text.count(old) == 1, f"{name.strip()} has these lines {text.count(old)} times:\n{old}"
            text = text.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
        path.write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_readme_goes_from_a_pair_to_texts() -> None:
    names = run_blocks("README.md")
    assert len(names["texts"]) == 1
    assert len(names["texts"][0]) == 8


def test_a_built_hybrid_answers_as_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "testbed-llama", "--layers", "6:9", "--output", "my-hybrid"]) == 0
    capsys.readouterr()
    run_blocks("examples/build_and_serve.md")
    assert len(capsys.readouterr().out.splitlines()) >= 8


def write_titled(blocks: list[Block], root: Path) -> list[str]:
    """Write the files that blocks are to become, and give the code of the other blocks of Python."""
    for block in blocks:
        if block.title is not None:
            (root / block.title).parent.mkdir(parents=True, exist_ok=True)
            (root / block.title).write_text(block.code, encoding="utf-8")
    return [block.code for block in blocks if block.title is None and block.language == "python"]


@pytest.mark.usefixtures("few_prompts")
def test_the_page_on_extending_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = list(blocks_of("docs/extending.md"))
    inside = next(place for place, block in enumerate(blocks) if block.language == "sh")
    script = write_titled(blocks[:inside], tmp_path)
    install_project(tmp_path / "slr-naming")
    monkeypatch.syspath_prepend(tmp_path / "slr-naming")
    names: dict[str, Any] = {}
    for code in script:
        exec(compile(code, "<docs/extending.md>", "exec"), names)
    assert re.search(r"^hybrid one word [01]\.\d+$", capsys.readouterr().out, re.MULTILINE)
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out.count("slr-naming 1.0") == 4
    assert main(["search", "testbed-qwen", "--output-dir", "my-search"]) == BAD_INPUT
    assert "version of scorer was simpson of slr-naming 1.0 and is now None" in capsys.readouterr().err


def test_the_page_on_extending_holds_for_a_copy_of_the_package(tmp_path: Path) -> None:
    blocks = list(blocks_of("docs/extending.md"))
    inside = next(place for place, block in enumerate(blocks) if block.language == "sh")
    shutil.copytree(ROOT / "slr", tmp_path / "slr", ignore=shutil.ignore_patterns("__pycache__"))
    write_titled(blocks[:inside], tmp_path)
    script = write_titled(blocks[inside:], tmp_path)
    for block in blocks[inside:]:
        if block.language == "diff":
            apply_diff(block.code, tmp_path)
        elif block.language == "sh":
            command, source, target = block.code.split()
            assert command == "cp"
            shutil.copy(tmp_path / source, tmp_path / target)
    (tmp_path / "blocks.py").write_text("\n".join(script), encoding="utf-8")
    done = subprocess.run([sys.executable, "blocks.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "testbed-qwen/hybrid temperature=1.6/seed=0" in done.stdout


def test_the_notebook_draws_two_plots_of_a_runs_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ["--smoke", "--families", "llama", "--wandb", "disabled", "--output-dir", str(tmp_path)]
    assert main(["run", "open_qa", *options]) == 0
    monkeypatch.setenv("SLR_RESULTS", str(tmp_path))
    # An earlier test may have drawn figures, which sets a backend that shows none in a notebook.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(ROOT / "examples/browse_records.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "instruct" in outputs[-1]["text"]
