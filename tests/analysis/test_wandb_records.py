"""Against a stand-in for W&B's API that serves the artifacts in the files of real offline runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import wandb

from slr.analysis import wandb_records
from slr.analysis.wandb_records import Api, fetch_records
from slr.cli import main
from slr.costs.search_cost import CostCase, mirror_costs
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.models.presets import find_pair
from slr.runs.experiment import store_of
from slr.runs.records import Configuration, CrcScore
from slr.runs.results_store import ResultsStore
from slr.runs.tracking import mirror_pair
from tests.analysis.downstream_records import samples_and_measures
from tests.analysis.synthetic import PROVENANCE, crc_records
from tests.analysis.test_make_all import files_in

ROOT = Path(__file__).parents[2]
PROJECT = "my-team/slr"
EXPERIMENT = crc_experiment(CrcStudyConfig())
TESTBED = ("testbed-qwen", "testbed-llama")
CASE = CostCase(num_layers=3)


@dataclass
class StoredArtifact:
    """A version as it lies in an offline run's file."""

    name: str
    type: str
    digest: str
    files: dict[str, Path]
    downloads: list[str]

    def download(self, root: str, *, skip_cache: bool) -> str:
        assert skip_cache
        self.downloads.append(self.name)
        Path(root).mkdir(parents=True)
        for name, path in self.files.items():
            shutil.copyfile(path, Path(root) / name)
        return root


@dataclass
class OfflineApi:
    """As much of ``wandb.Api`` as is used, for one project that holds the offline runs of some directories."""

    output_dirs: list[Path]
    downloads: list[str] = field(default_factory=list)

    def artifact_types(self, project: str) -> list[Any]:
        if project != PROJECT:
            raise ValueError("Unable to parse 'ArtifactTypes' response data")
        return [Name(kind) for kind in sorted({artifact.type for artifact in self._artifacts()})]

    def artifact_collections(self, project_name: str, type_name: str) -> list[Any]:
        assert project_name == PROJECT
        names = dict.fromkeys(a.name for a in self._artifacts() if a.type == type_name)
        return [Name(name) for name in names]

    def artifact(self, name: str, type: str) -> StoredArtifact:
        path, alias = name.split(":")
        assert alias == "latest"
        versions = [a for a in self._artifacts() if f"{PROJECT}/{a.name}" == path and a.type == type]
        return versions[-1]

    def _artifacts(self) -> list[StoredArtifact]:
        run_files = [file for dir_ in self.output_dirs for file in dir_.glob("wandb/offline-run-*/*.wandb")]
        in_time = sorted(run_files, key=lambda file: file.stat().st_mtime_ns)
        return [self._stored(content) for run_file in in_time for content in artifacts_in(run_file)]

    def _stored(self, content: dict[str, Any]) -> StoredArtifact:
        return StoredArtifact(
            name=content["name"],
            type=content["type"],
            digest=content["digest"],
            files={part["path"]: Path(part["local_path"]) for part in content["manifest"]["contents"]},
            downloads=self.downloads,
        )


@cache
def artifacts_in(run_file: Path) -> list[dict[str, Any]]:
    """As W&B's own reader finds them."""
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(run_file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries = [json.loads(line) for line in printed.splitlines()]
    return [entry["artifact"] for entry in entries if entry["type"] == "artifact"]


@dataclass
class Name:
    name: str


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Api], None]:
    """Have an API used in place of W&B's, by a user who is logged in."""

    def use(api: Api) -> None:
        monkeypatch.setattr(wandb_records, "connect", lambda: api)
        monkeypatch.setattr(wandb_records, "log_in", lambda: None)

    return use


def measure(output_dir: Path, pairs: tuple[str, ...], smoke: bool = False) -> Path:
    """Records of a preset, and their offline mirror."""
    for second, pair in enumerate(pairs):
        provenance = PROVENANCE.model_copy(update={"created_at": f"2026-01-01T00:00:{second:02}+00:00"})
        records = [r.model_copy(update={"provenance": provenance}) for r in crc_records(pair)]
        store_of(EXPERIMENT, output_dir).append(records)
        assert mirror_pair(EXPERIMENT, find_pair(pair), output_dir, "offline", smoke=smoke)
    return output_dir


def measure_search_cost(output_dir: Path) -> Path:
    costs = [
        record.model_copy(update={"experiment": "search_cost", "pair": CASE.pair_name})
        for record in crc_records("any")
        if record.kind == "search_cost"
    ]
    ResultsStore(output_dir / "search_cost.jsonl").append(costs)
    mirror_costs([CASE], output_dir, "offline", smoke=False)
    return output_dir


def measure_creative_writing(output_dir: Path) -> None:
    from slr.experiments import creative_writing

    experiment = creative_writing.experiment("testbed", False)
    store_of(experiment, output_dir).append(samples_and_measures(experiment, "testbed-llama"))
    assert mirror_pair(experiment, find_pair("testbed-llama"), output_dir, "offline")


def test_figures_and_tables_are_those_of_the_local_records(
    tmp_path: Path, use: Callable[[Api], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two presets, with a benchmark beside them, and a smoke run that must not be taken for a result."""
    local = tmp_path / "results"
    directories = [
        measure(local / "testbed", TESTBED),
        measure(local / "small", ("small-llama",)),
        measure_search_cost(local / "search_cost"),
    ]
    measure_creative_writing(local / "testbed")
    use(OfflineApi([*directories, measure(tmp_path / "smoke", ("testbed-gemma",), smoke=True)]))
    options = ["--preset", "testbed", "--output-dir"]
    assert main(["figures", "--results-dir", str(local), *options, str(tmp_path / "from_disk")]) == 0
    monkeypatch.chdir(tmp_path / "smoke")
    assert main(["figures", "--wandb", PROJECT, *options, str(tmp_path / "from_wandb")]) == 0
    from_disk = files_in(tmp_path / "from_disk")
    assert b"not measured yet" not in from_disk["testbed/tables/creative_writing.csv"]
    assert files_in(tmp_path / "from_wandb") == from_disk
    fetched = tmp_path / "smoke" / "results" / "from_wandb" / "my-team" / "slr" / "records"
    for name in (
        "testbed/crc_search",
        "testbed/creative_writing",
        "small/crc_search",
        "search_cost/search_cost",
    ):
        assert (fetched / f"{name}.jsonl").read_bytes() == (local / f"{name}.jsonl").read_bytes()


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, use: Callable[[Api], None]) -> None:
    output_dir = measure(tmp_path / "testbed", TESTBED)
    api = OfflineApi([output_dir])
    use(api)
    first = fetch_records(PROJECT, tmp_path / "fetched")
    assert sorted(api.downloads) == ["crc_search-testbed-llama", "crc_search-testbed-qwen"]
    before = files_in(first)
    assert files_in(fetch_records(PROJECT, tmp_path / "fetched")) == before
    assert len(api.downloads) == 2
    score = next(r for r in crc_records("testbed-llama") if isinstance(r, CrcScore))
    store_of(EXPERIMENT, output_dir).append([score.model_copy(update={"model": "soup", "alpha": 0.25})])
    assert mirror_pair(EXPERIMENT, find_pair("testbed-llama"), output_dir, "offline")
    newer = fetch_records(PROJECT, tmp_path / "fetched") / "testbed" / "crc_search.jsonl"
    assert api.downloads[2:] == ["crc_search-testbed-llama"]
    assert ResultsStore(newer).keys() == store_of(EXPERIMENT, output_dir).keys()


def test_an_interrupted_download_is_begun_anew(
    tmp_path: Path, use: Callable[[Api], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(OfflineApi([measure(tmp_path / "testbed", TESTBED[:1])]))

    def break_off(_: StoredArtifact, root: str, **_options: bool) -> str:
        Path(root).mkdir(parents=True)
        (Path(root) / "crc_search.jsonl").write_text("{", encoding="utf-8")
        raise wandb.Error("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(StoredArtifact, "download", break_off)
        with pytest.raises(ValueError, match="W&B does not give my-team/slr: the connection was lost"):
            fetch_records(PROJECT, tmp_path)
    records = fetch_records(PROJECT, tmp_path) / "testbed" / "crc_search.jsonl"
    assert records.read_bytes() == (tmp_path / "testbed" / "crc_search.jsonl").read_bytes()


def test_pairs_measured_with_different_settings_are_refused(
    tmp_path: Path, use: Callable[[Api], None]
) -> None:
    for pair, ratio in zip(TESTBED, (0.9, 0.8), strict=True):
        output_dir = tmp_path / pair
        configuration = Configuration(
            experiment="crc_search",
            pair=pair,
            provenance=PROVENANCE,
            settings={"min_validity_ratio": ratio},
            dtype="float32",
            base="some/base",
            base_weights=None,
            instruct="some/instruct",
            instruct_weights=None,
        )
        store_of(EXPERIMENT, output_dir).append([configuration, *crc_records(pair)])
        assert mirror_pair(EXPERIMENT, find_pair(pair), output_dir, "offline")
    use(OfflineApi([tmp_path / pair for pair in TESTBED]))
    with pytest.raises(
        ValueError, match=r"crc_search in W&B \(pairs testbed-llama, testbed-qwen\) have different"
    ):
        fetch_records(PROJECT, tmp_path)


@pytest.mark.parametrize(
    ("project", "problem"),
    [
        ("slr", "--wandb is 'slr', expected ENTITY/PROJECT"),
        ("a/b/c", "expected ENTITY/PROJECT"),
        ("a/..", "expected ENTITY/PROJECT"),
        ("my-team/other", "W&B has no project my-team/other, or this account may not read it"),
        (PROJECT, "there are no records in the W&B project my-team/slr: run experiments with --wandb online"),
    ],
)
def test_what_is_not_there_is_one_line(
    tmp_path: Path,
    use: Callable[[Api], None],
    capsys: pytest.CaptureFixture[str],
    project: str,
    problem: str,
) -> None:
    """Smoke runs alone are no records."""
    use(OfflineApi([measure(tmp_path / "smoke", TESTBED[:1], smoke=True)]))
    assert main(["figures", "--wandb", project, "--results-dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert problem in said


def test_without_an_account_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["figures", "--wandb", PROJECT, "--results-dir", str(tmp_path)]) == 2
    assert "error: W&B knows no account: run `wandb login` first" in capsys.readouterr().err
