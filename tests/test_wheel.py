"""What is installed from a wheel: every file of the package, so that nothing needs a checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_import_rules import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the package, because building writes into the directory."""
    pytest.importorskip("setuptools", minversion="77")
    directory = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "slr", directory / "slr", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, directory)
    command = "pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ."
    subprocess.run([sys.executable, "-m", *command.split()], cwd=directory, check=True)
    (built,) = (directory / "dist").glob("slr-*.whl")
    return built


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    in_wheel = {
        name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith("-info")
    }
    in_package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "slr").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_wheel == in_package
    assert {"slr/py.typed", "slr/__init__.pyi", "slr/pages/layout.html", "slr/trials/trial.html"} <= in_wheel


def test_an_installed_package_searches_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
        "import slr.crc.study as study; study.FULL = study.SMOKE\n"
        "from slr.cli import main; print(study.__file__); sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "search", "testbed-llama", "--output-dir", "found"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "installed"))
    assert "To build it:" in done.stdout
