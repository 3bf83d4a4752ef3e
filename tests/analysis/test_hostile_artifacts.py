"""Artifacts of somebody else's W&B project, whose names and files lead elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slr.analysis import wandb_records
from slr.analysis.wandb_records import fetch_records
from slr.runs.records import AnyRecord
from slr.runs.run_content import RECORDS
from tests.analysis.synthetic import crc_records

PROJECT = "somebody/project"
Fill = Callable[[Path], None]


def lines(records: list[AnyRecord]) -> str:
    return "".join(record.model_dump_json() + "\n" for record in records)


@dataclass
class OneArtifact:
    """A project with one artifact, which is filled as the test wants it."""

    fill: Fill
    name: str = "crc_search-x"
    digest: str = "0123abcd"
    entries: dict[str, Any] = field(default_factory=dict)
    is_downloaded: bool = False

    def artifact_types(self, project: str) -> list[Any]:
        assert project == PROJECT
        return [SimpleNamespace(name=RECORDS)]

    def artifact_collections(self, project_name: str, type_name: str) -> list[Any]:
        assert (project_name, type_name) == (PROJECT, RECORDS)
        return [SimpleNamespace(name=self.name)]

    def artifact(self, name: str, type: str) -> Any:
        assert (name, type) == (f"{PROJECT}/{self.name}:latest", RECORDS)
        return self

    @property
    def manifest(self) -> Any:
        return SimpleNamespace(entries=self.entries)

    def download(self, root: str, *, skip_cache: bool) -> None:
        assert skip_cache
        self.is_downloaded = True
        Path(root).mkdir(parents=True)
        self.fill(Path(root))


def with_records(pair: str, file: str = "crc_search.jsonl", experiment: str = "crc_search") -> Fill:
    records = [r.model_copy(update={"pair": pair, "experiment": experiment}) for r in crc_records("x")]

    def fill(root: Path) -> None:
        (root / file).write_text(lines(records), encoding="utf-8")

    return fill


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[OneArtifact], Path]:
    """Fetch the artifact into ``results``, beside which nothing may appear."""

    def fetch(artifact: OneArtifact) -> Path:
        monkeypatch.setattr(wandb_records, "connect", lambda: artifact)
        monkeypatch.setattr(wandb_records, "log_in", lambda: None)
        try:
            return fetch_records(PROJECT, tmp_path / "top" / "results")
        finally:
            assert [path.name for path in tmp_path.iterdir()] == ["top"]
            assert [path.name for path in (tmp_path / "top").iterdir()] == ["results"]
            written = {path.name for path in (tmp_path / "top/results/from_wandb/somebody/project").iterdir()}
            assert written <= {"artifacts", "records", "wandb"}

    return fetch


@pytest.mark.parametrize("pair", ["x", "my model", "Qwen2.5-7B"])
def test_an_honest_artifact_is_put_into_its_pairs_directory(
    fetch: Callable[[OneArtifact], Path], pair: str
) -> None:
    assert (fetch(OneArtifact(with_records(pair))) / pair / "crc_search.jsonl").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../../../../out",
        "/tmp/slr-hostile",
        "a/b",
        "a\\b",
        "C:x",
        "a\0b",
        "NUL",
        "-x",
        "y" * 5000,
        "\x1b[2J",
    ],
)
def test_a_pairs_or_experiments_name_that_leads_elsewhere_is_refused(
    fetch: Callable[[OneArtifact], Path], name: str
) -> None:
    for fill, whose in (
        (with_records(name), "the pair's name"),
        (with_records("x", experiment=name), "the experiment's name"),
    ):
        with pytest.raises(ValueError, match=rf"^{whose} in the W&B artifact 'crc_search-x'") as caught:
            fetch(OneArtifact(fill, digest=whose[4:8]))
        assert "\n" not in str(caught.value)
        assert not Path("/tmp/slr-hostile").exists()


@pytest.mark.parametrize("name", ["..", "../x", "/tmp/slr-hostile", "a/b"])
def test_an_artifacts_own_names_are_checked_before_it_is_downloaded(
    fetch: Callable[[OneArtifact], Path], name: str
) -> None:
    reference = SimpleNamespace(ref="file:///etc/hostname")
    for artifact in (
        OneArtifact(with_records("x"), name=name),
        OneArtifact(with_records("x"), digest=name),
        OneArtifact(with_records("x"), entries={name: SimpleNamespace(ref=None)}),
        OneArtifact(with_records("x"), entries={"crc_search.jsonl": reference}),
    ):
        with pytest.raises(ValueError, match="W&B artifact"):
            fetch(artifact)
        assert not artifact.is_downloaded


def test_links_directories_and_other_files_in_an_artifact_are_refused(
    fetch: Callable[[OneArtifact], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.jsonl"
    elsewhere.write_text(lines(crc_records("x")), encoding="utf-8")

    def link(root: Path) -> None:
        (root / "crc_search.jsonl").symlink_to(elsewhere)

    def directory(root: Path) -> None:
        (root / "crc_search.jsonl").mkdir()

    def fifo(root: Path) -> None:
        os.mkfifo(root / "crc_search.jsonl")

    def page(root: Path) -> None:
        (root / "index.html").write_text("<script>", encoding="utf-8")

    for fill in (link, directory, fifo, page):
        with pytest.raises(
            ValueError, match="in the W&B artifact 'crc_search-x' of somebody/project is a link"
        ):
            fetch(OneArtifact(fill, digest=fill.__name__))


def test_a_file_of_two_pairs_or_of_another_name_is_refused(fetch: Callable[[OneArtifact], Path]) -> None:
    def two(root: Path) -> None:
        (root / "crc_search.jsonl").write_text(lines(crc_records("x") + crc_records("y")), encoding="utf-8")

    for number, fill in enumerate((two, with_records("x", file="quality.jsonl"))):
        with pytest.raises(ValueError, match="expected one experiment's records of one pair"):
            fetch(OneArtifact(fill, digest=str(number)))
