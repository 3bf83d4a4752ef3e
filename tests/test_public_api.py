"""The public API: what ``slr`` exports, and the way from a pair to samples of its hybrid."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import slr

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "slr" / "__init__.pyi"


def exports() -> Iterator[tuple[str, str, str | None]]:
    """Module, name and exported name of each line of the stub."""
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"slr.{node.module}", alias.name, alias.asname


def test_a_search_leads_to_samples_of_the_hybrid() -> None:
    pair = slr.load_pair("testbed-llama")
    result = slr.search(pair)
    choice = result.select()
    hybrid = slr.restore(pair, choice.interval)
    [jokes] = slr.sample(hybrid, pair.tokenizer, ["Write a joke about rain."], num_samples=8)
    assert (
        choice.interval
        == max(
            (c for c in result.candidates if c.validity >= 0.9 * result.instruct.mean_validity),
            key=lambda c: (c.diversity or 0, -len(c.choice.interval), -c.choice.interval.start),
        ).choice.interval
    )
    assert len(jokes) == 8
    assert len(set(jokes)) > 1
    assert all(joke.strip() for joke in jokes)


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    example = ROOT / "examples" / "search_and_restore.py"
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("layers ")
    assert "self_bleu=" in done.stdout
    code = ast.parse(example.read_text(encoding="utf-8")).body
    assert sum(node.end_lineno - node.lineno + 1 for node in code[1:] if node.end_lineno) <= 12


def test_every_export_is_what_the_list_says() -> None:
    listed = list(exports())
    assert len({name for _, name, _ in listed}) == len(listed), "a name is given twice"
    assert sorted(name for _, name, _ in listed) == slr.__all__
    for module, name, exported in listed:
        assert exported == name, f"type checkers take {name} as private"
        assert getattr(slr, name) is getattr(importlib.import_module(module), name)
        assert getattr(slr, name).__module__ == module


def test_the_version_is_the_installed_one() -> None:
    assert slr.__version__ == metadata.version("slr")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="slr attribute nothing"):
        slr.nothing  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def test_importing_slr_imports_no_module_of_it() -> None:
    code = "import sys, slr; print([m for m in sys.modules if m.startswith(('slr.', 'torch', 'numpy'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
