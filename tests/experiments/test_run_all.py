"""One whole run on a pair of the user's own, of an architecture that no preset uses, in a home full of secrets.

The run takes half a minute, so the tests of what it measures, draws, mirrors and leaves unsaid share it.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from slr.analysis.load_results import load_results
from slr.cli import main
from slr.experiments import catalogue
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
OPTIONS = ["--preset", "testbed", "--smoke"]


@dataclass(frozen=True)
class WholeRun:
    """A run, and the build of a hybrid after it: where they ran, where the pair is, and what the run printed."""

    directory: Path
    pair: Path
    said: str

    @property
    def output_dir(self) -> Path:
        [output] = (self.directory / "results").iterdir()
        return output

    @property
    def words(self) -> list[str]:
        return ["run", "all", "--pair", str(self.pair / "base"), str(self.pair / "instruct"), *OPTIONS]


@pytest.fixture(scope="module")
def whole_run(checkpoint_pairs: CheckpointPairs, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """Of all experiments in smoke size, of the figures, and of the hybrid built from a pair in the user's home."""
    home = tmp_path_factory.mktemp("homes") / USER
    pair = home / "models" / "pair"
    for source in checkpoint_pairs("mistral", num_layers=6):
        shutil.copytree(source, pair / source.name)
    run = WholeRun(tmp_path_factory.mktemp("outputs"), pair, "")
    environment = {**os.environ, **SECRETS, "HOME": str(home)}
    environment |= {"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(home / "matplotlib")}

    def slr(*words: str) -> str:
        command = [sys.executable, "-m", "slr", *words]
        done = subprocess.run(
            command, cwd=run.directory, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    said = slr(*run.words)
    build = ["build", str(pair / "base"), str(pair / "instruct"), "--layers", "1:3"]
    slr(*build, "--search-dir", str(run.output_dir), "--output", str(run.directory / "hybrid"))
    return WholeRun(run.directory, pair, said)


@pytest.mark.parametrize("what", [*SECRETS, "HOME"])
def test_nothing_that_is_written_has_it(whole_run: WholeRun, what: str) -> None:
    planted = SECRETS.get(what, USER).encode()
    files = [path for path in whole_run.directory.rglob("*") if path.is_file()]
    assert {".jsonl", ".png", ".html", ".wandb", ".md", ".json"} <= {path.suffix for path in files}
    having = [str(path.relative_to(whole_run.output_dir)) for path in files if planted in path.read_bytes()]
    # The user gave the pair by its place, and the run goes on from the file that keeps it.
    assert having == (["run.yaml"] if what == "HOME" else [])
    assert [str(path) for path in files if planted.decode() in str(path)] == []


def test_all_experiments_are_measured_and_drawn(whole_run: WholeRun) -> None:
    output = whole_run.output_dir
    assert output.name.endswith("-instruct-smoke")
    results = load_results(output)
    [info] = results.pair_infos
    assert (info.family, info.num_layers) == ("mistral", 6)
    assert set(results.by_pair) == {info.pair}
    for name in catalogue.MAKERS:
        assert results.of_experiment(name), name
    assert list((output / "figures").rglob("*.png"))
    page = (output / "index.html").read_text(encoding="utf-8")
    assert f"{info.pair}: " in page
    assert "Pairs of the user's own, with the prompts of the preset testbed." in html.unescape(page)
    assert whole_run.said.endswith(f"page: {output.relative_to(whole_run.directory) / 'index.html'}\n")


def test_each_experiment_is_mirrored_once_and_the_verdicts_have_the_pictures(
    whole_run: WholeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = whole_run.output_dir
    [info] = load_results(output).pair_infos
    marks = json.loads((output / "wandb" / "mirrored.json").read_text(encoding="utf-8"))
    assert marks.keys() == {f"{name}/{info.pair}" for name in (*catalogue.MAKERS, "verdicts")}
    assert [name for name, mark in marks.items() if "images" in mark] == [f"verdicts/{info.pair}"]
    runs = list((output / "wandb").glob("offline-run-*"))
    assert len(runs) == len(marks)
    # Another drawing would give the same pictures.
    monkeypatch.setattr("slr.cli.run.run_child", lambda _command: 0)
    monkeypatch.chdir(whole_run.directory)
    assert main(whole_run.words) == 0
    assert list((output / "wandb").glob("offline-run-*")) == runs


def test_the_file_that_a_run_keeps_means_the_same_run(
    whole_run: WholeRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    output = whole_run.output_dir
    results = load_results(output)
    assert results.own_run is not None
    [pair] = results.own_run.pairs
    [info] = results.pair_infos
    assert (pair.base, pair.name) == (str(whole_run.pair / "base"), info.pair)
    assert results.own_run.preset == "testbed"
    monkeypatch.chdir(whole_run.directory)
    again = ["run", "crc_search", "--pairs", str(output / "run.yaml"), "--smoke", "--wandb", "disabled"]
    assert main(again) == 0
    assert "nothing to do" in capfd.readouterr().err
