"""Imports go one way, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {"slr": {"slr"}, "experiments": {"experiments", "slr"}, "analysis": {"analysis", "slr"}}
OURS = {"slr", "experiments", "analysis", "tests"}
VAGUE_NAMES = {"utils", "helpers", "common", "misc"}
TORCH_FREE = (
    "slr",
    "slr.records",
    "slr.intervals",
    "slr.results_store",
    "slr.uncertainty",
    "slr.model_pairs",
    "slr.provenance",
    "slr.crc.prompts",
    "slr.crc.selection",
    "slr.crc.report",
    "slr.crc.plots",
    "slr.cli",
    "analysis.make_all",
)


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    scripts = {path.stem: path.parent.name for path in (ROOT / "experiments").glob("*.py")}
    for path in source_files(package):
        for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.split(".")[0]
            owner = top if top in OURS else scripts.get(top, "somebody else")
            assert owner not in OURS or owner in ALLOWED[package], (
                f"{path.relative_to(ROOT)} imports {module}"
            )


def test_the_rule_would_notice() -> None:
    found = list(
        imported_modules(ast.parse("def f():\n    from analysis.table import Table\n    import slr.cli"))
    )
    assert found == ["analysis.table", "slr.cli"]
    assert "analysis" not in ALLOWED["slr"]


@pytest.mark.parametrize("package", [*ALLOWED, "tests"])
def test_names_say_what_is_in_a_module(package: str) -> None:
    assert not [path for path in source_files(package) if path.stem in VAGUE_NAMES]


def test_analysis_never_imports_torch() -> None:
    for path in source_files("analysis"):
        modules = set(imported_modules(ast.parse(path.read_text(encoding="utf-8"))))
        assert not {module for module in modules if module.split(".")[0] in ("torch", "transformers")}, path


@pytest.mark.parametrize("module", TORCH_FREE)
def test_light_modules_stay_light(module: str) -> None:
    """In a process of its own: what the module imports must not bring torch, transformers or W&B in."""
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_public_api_is_what_it_says() -> None:
    import slr

    assert sorted(slr._MODULE_OF) == slr.__all__
    for name in slr.__all__:
        assert getattr(slr, name).__module__ == slr._MODULE_OF[name]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        slr.nothing  # noqa: B018
