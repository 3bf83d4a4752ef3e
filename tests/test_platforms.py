"""Commands for every day work on Windows and macOS, too; real ones are not at hand, so doubles of them are used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slr.runs.records import CrcScore
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from slr.terminal.literal_text import as_command
from tests.programs.on_another_system import MODULES_NOT_ON_WINDOWS, NOT_ON_MACOS, NOT_ON_WINDOWS
from tests.test_import_rules import ROOT, source_files

PROGRAM = ROOT / "tests" / "programs" / "on_another_system.py"
ONLY_LINUX = {
    "slr/chat/fork.py": "slr.chat.rendering imports it on Linux alone",
    "slr/costs/process_cost.py": "a benchmark that says so",
}
LACKING = {
    (module, name)
    for names in (NOT_ON_MACOS, NOT_ON_WINDOWS)
    for module, lacking in names.items()
    for name in lacking.split()
}


@pytest.mark.long
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_search_build_score_and_sample_work_without_what_linux_has(
    system: str, smoke_search: Path, tmp_path: Path
) -> None:
    commands = [
        ["search", "testbed-llama", "--output-dir", "found"],
        ["build", "testbed-llama", "--search-dir", "found", "--output", "built", "--verify"],
        ["score", "built"],
        ["sample", "testbed-llama", "--layers", "6:9", "--prompt", "Name one.", "-n", "2"],
    ]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), system, json.dumps(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    searched, _, scored, sampled = json.loads(done.stdout)
    assert "To build it:" in searched
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["crc_search.jsonl", "figures"]
    assert scores(tmp_path / "found") == scores(smoke_search)
    assert "held-out" in scored
    assert "layers 6:9" in sampled


def scores(directory: Path) -> dict[str, tuple[float | None, ...]]:
    records = ResultsStore(directory / "crc_search.jsonl").read()
    return {score.key: score.diversity for score in of_kind(records, CrcScore)}


def uses(tree: ast.AST) -> Iterator[str]:
    """What a module uses that some system lacks, without asking first which system it is or what it has."""
    if isinstance(tree, ast.Import | ast.ImportFrom):
        names = {alias.name for alias in tree.names} | {getattr(tree, "module", None)}
        yield from (f"line {tree.lineno}: {name}" for name in names & set(MODULES_NOT_ON_WINDOWS))
    if isinstance(tree, ast.Attribute) and (ast.unparse(tree.value), tree.attr) in LACKING:
        yield f"line {tree.lineno}: {ast.unparse(tree)}"
    for _, value in ast.iter_fields(tree):
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.If | ast.IfExp) and asks(node.test):
                if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return):
                    break  # what comes after it is for the other systems
                continue
            if isinstance(node, ast.AST) and not (isinstance(node, ast.Try) and goes_without(node)):
                yield from uses(node)


def asks(test: ast.expr) -> bool:
    return "sys.platform" in ast.unparse(test) or "hasattr(" in ast.unparse(test)


def goes_without(attempt: ast.Try) -> bool:
    caught = {ast.unparse(handler.type) for handler in attempt.handlers if handler.type is not None}
    return "ModuleNotFoundError" in caught


def test_the_package_asks_before_it_uses_what_some_system_lacks() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): list(uses(ast.parse(path.read_text(encoding="utf-8"))))
        for path in source_files("slr")
    }
    assert {path for path, lines in found.items() if lines} == set(ONLY_LINUX), found


@pytest.mark.parametrize(
    ("source", "num_uses"),
    [
        ("import resource", 1),
        ("from fcntl import flock", 1),
        ("def f():\n    import os\n    return os.fork()", 1),
        ("if sys.platform == 'linux':\n    os.sched_getaffinity(0)", 0),
        (
            "def f():\n    if not hasattr(os, 'sync'):\n        return\n    os.sync()\ndef g():\n    os.sync()",
            1,
        ),
        ("try:\n    import resource\nexcept ModuleNotFoundError:\n    pass", 0),
        ("os.kill(1, signal.SIGKILL)", 1),
    ],
)
def test_the_rule_would_notice(source: str, num_uses: int) -> None:
    assert len(list(uses(ast.parse(source)))) == num_uses


def test_a_command_is_written_as_the_shell_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["slr", "build", r"C:\models\my base", "--layers", "1:2"]
    assert as_command(words) == r"slr build 'C:\models\my base' --layers 1:2"
    monkeypatch.setattr("sys.platform", "win32")
    assert as_command(words) == r'slr build "C:\models\my base" --layers 1:2'


def test_any_text_can_be_printed_in_any_encoding() -> None:
    command = [sys.executable, "-m", "slr", "show", "日本"]
    for encoding in ("cp1252", "ascii"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            encoding=encoding,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert r"\u65e5\u672c" in done.stderr
