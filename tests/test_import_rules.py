"""Imports go one way, and importing does nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {"slr": {"slr"}, "experiments": {"experiments", "slr"}, "analysis": {"slr"}}
OURS = {*ALLOWED, "tests"}
MAY_IMPORT = {
    # What computes numbers or text, and knows nothing of models.
    "vocabulary": "",
    "intervals": "vocabulary",
    "seeding": "",
    "metrics": "",
    "statistics": "",
    "terminal": "",
    "files": "terminal",
    "pages": "terminal",
    "figure_style": "files terminal",
    "plugins": "terminal",
    # Models: how they are asked, opened, combined and sampled.
    "chat": "files",
    "models": "chat files terminal vocabulary",
    "hybrid": "intervals models vocabulary",
    "sampling": "chat models seeding",
    # Runs and their records; CRC, by which layers are chosen; building what was chosen.
    "runs": "chat files models plugins sampling terminal vocabulary",
    "crc": "chat figure_style files hybrid intervals models pages plugins runs seeding statistics terminal vocabulary",
    "building": "chat crc hybrid intervals models runs statistics terminal vocabulary",
    "trials": "building crc files hybrid intervals metrics models pages sampling statistics terminal",
    "stability": "crc hybrid intervals models runs seeding statistics vocabulary",
    # The models that come with the package, and the tasks.
    "testbed": "chat crc models runs stability terminal",
    "laptop": "chat files models runs sampling seeding statistics terminal",
    "tasks": "chat metrics models testbed vocabulary",
    # Studies: one package for each kind of measurement.
    "downstream": "chat crc hybrid intervals metrics models plugins runs sampling seeding statistics tasks vocabulary",
    "harness": "chat crc downstream hybrid models runs sampling statistics tasks terminal testbed vocabulary",
    "mechanism": "crc downstream hybrid models runs terminal vocabulary",
    "prediction": "crc downstream harness intervals models runs statistics tasks vocabulary",
    "judging": "downstream metrics models runs seeding statistics tasks",
    "costs": "building chat crc files hybrid intervals metrics models runs sampling seeding statistics terminal "
    "testbed",
    # What users start.
    "experiments": "crc downstream harness judging mechanism models prediction runs stability terminal",
    "analysis": "crc downstream figure_style files harness intervals judging metrics models pages prediction runs "
    "sampling seeding stability statistics tasks terminal testbed vocabulary",
    "cli": "analysis building chat costs crc downstream experiments intervals models plugins runs sampling "
    "statistics terminal trials vocabulary",
    "__main__": "cli",
    # The package itself, which exports from all over it and which nothing in it imports.
    "slr": "building crc hybrid intervals metrics models sampling statistics",
}
"""For each package or module directly under ``slr``, those that it may import; each row names only rows above it."""
MOST_LOOSE_MODULES = 10
VAGUE_NAMES = {"utils", "helpers", "common", "misc"}
TORCH_FREE = (
    "slr",
    "slr.runs.records",
    "slr.intervals",
    "slr.runs.results_store",
    "slr.statistics.uncertainty",
    "slr.models.presets",
    "slr.models.reference",
    "slr.runs.provenance",
    "slr.figure_style",
    "slr.crc.prompts",
    "slr.crc.selection",
    "slr.crc.report",
    "slr.crc.recommendation",
    "slr.crc.reselection",
    "slr.crc.plots",
    "slr.crc.pair_view",
    "slr.crc.search_page",
    "slr.crc.study",
    "slr.stability.study",
    "slr.testbed.seeds",
    "slr.downstream.study",
    "slr.runs.processes",
    "slr.runs.device",
    "slr.runs.dry_run",
    "slr.runs.run_progress",
    "slr.runs.script",
    "slr.experiments.catalogue",
    "slr.cli",
)
"""Besides all of ``slr.analysis``."""

IMPORT_ALL_WATCHED = """
import argparse, importlib, sys
import numpy
import torch

def refuse(*_arguments, **_options):
    raise AssertionError("importing a module read the command line")

argparse.ArgumentParser.parse_args = refuse
sys.argv = ["a-program", "--nonsense"]
generators = str(numpy.random.get_state()), torch.random.get_rng_state().tolist()
for module in sys.stdin.read().split():
    importlib.import_module(module)
assert (str(numpy.random.get_state()), torch.random.get_rng_state().tolist()) == generators
assert "wandb" not in sys.modules
assert not torch.cuda.is_initialized()
"""


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def modules_of(package: str) -> list[str]:
    """Every module, by its full name."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in source_files(package)]
    return [".".join(path.parent.parts if path.name == "__init__" else path.parts) for path in paths]


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import does not say from where"
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    for path in source_files(package):
        for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.split(".")[0]
            assert top not in OURS or top in ALLOWED[package], f"{path.relative_to(ROOT)} imports {module}"


def part_of(module: str) -> str:
    """The package or module directly under slr that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def imported_parts(path: Path) -> set[str]:
    found = imported_modules(ast.parse(path.read_text(encoding="utf-8")))
    return {part_of(module) for module in found if module.split(".")[0] == "slr"}


def exported_parts() -> set[str]:
    """What the stub of the package itself exports from; only there imports are relative, as lazy_loader wants."""
    stub = ast.parse((ROOT / "slr" / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        node.module.split(".")[0] for node in stub.body if isinstance(node, ast.ImportFrom) and node.module
    }


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_package_imports_only_what_the_table_allows(part: str) -> None:
    for module, path in zip(modules_of("slr"), source_files("slr"), strict=True):
        if part_of(module) == part:
            found = (imported_parts(path) | (exported_parts() if part == "slr" else set())) - {part}
            assert found <= set(MAY_IMPORT[part].split()), f"{path.relative_to(ROOT)} imports {sorted(found)}"


def test_the_table_of_imports_has_every_part_and_no_circle() -> None:
    assert set(MAY_IMPORT) == {part_of(module) for module in modules_of("slr")}
    above: set[str] = set()
    for part, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= above, f"{part} may import a row that is not above it"
        assert allowed.split() == sorted(allowed.split())
        above.add(part)


def test_few_modules_lie_directly_under_slr() -> None:
    assert len(list((ROOT / "slr").glob("*.py"))) <= MOST_LOOSE_MODULES


def test_internals_of_transformers_are_used_in_one_module() -> None:
    """``transformers.utils`` is public for its ``logging`` alone, which ``quiet_libraries`` uses."""
    private = {
        "_hf_hook",
        "_old_forward",
        "_attn_implementation",
        "_init_weights",
        "_supports_sdpa",
        "_model_mapping",
    }
    for path in source_files("slr"):
        if path.stem in ("transformers_internals", "quiet_libraries"):
            continue
        source = path.read_text(encoding="utf-8")
        assert not [m for m in imported_modules(ast.parse(source)) if m.startswith("transformers.")], path
        # Not within a public name, such as ``set_attn_implementation``.
        assert not [name for name in private if re.search(rf"(?<!\w){name}\b", source)], path


def test_the_rule_would_notice() -> None:
    found = list(
        imported_modules(ast.parse("def f():\n    from slr.analysis.table import Table\n    import slr.cli"))
    )
    assert found == ["slr.analysis.table", "slr.cli"]
    assert "analysis" not in ALLOWED["slr"]
    with pytest.raises(AssertionError, match="relative import"):
        list(imported_modules(ast.parse("from .. import analysis")))


@pytest.mark.parametrize("package", [*ALLOWED, "tests"])
def test_names_say_what_is_in_a_module(package: str) -> None:
    assert not [path for path in source_files(package) if path.stem in VAGUE_NAMES]


def test_analysis_never_imports_torch() -> None:
    for path in source_files("slr/analysis"):
        modules = set(imported_modules(ast.parse(path.read_text(encoding="utf-8"))))
        assert not {module for module in modules if module.split(".")[0] in ("torch", "transformers")}, path


@pytest.mark.parametrize(
    "modules", [*([module] for module in TORCH_FREE), modules_of("slr/analysis")], ids=lambda m: m[-1]
)
def test_light_modules_stay_light(modules: list[str]) -> None:
    """In a process of their own: what the modules import must not bring in what takes long to import."""
    code = (
        f"import sys, {', '.join(modules)}\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'scipy.stats', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_importing_does_nothing(tmp_path: Path) -> None:
    """Reads no command line, opens neither W&B nor CUDA, draws no random number, writes no file."""
    modules = [module for package in ALLOWED for module in modules_of(package)]
    assert {
        "slr.runs.tracking",
        "slr.testbed.training",
        "slr.analysis.make_all",
        "slr.experiments.catalogue",
    } <= set(modules)
    search_path = [str(ROOT), str(ROOT / "experiments")]
    code = f"import sys; sys.path[:0] = {search_path}\n{IMPORT_ALL_WATCHED}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(modules),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
