"""``judge.py`` and ``canonicalise.py`` as they are called, in smoke size, on a tiny pair and a local server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slr.cli import main
from slr.experiments import catalogue
from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs.records import CanonicalAnswers, JudgeScores
from slr.runs.results_store import ResultsStore
from tests.conftest import CheckpointPairs
from tests.judging.chat_server import KEY, chat_server, completion

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tiny_preset(checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    base, instruct = checkpoint_pairs("llama", num_layers=6)
    spec = PairSpec(
        name="tiny-llama",
        family="llama",
        base=ModelReference(str(base)),
        instruct=ModelReference(str(instruct)),
        num_layers=6,
        num_parameters=None,
    )
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (spec,), "tiny"))
    for name in list(os.environ):
        if name.startswith("SLR_JUDGE"):
            monkeypatch.delenv(name)


def test_both_scripts_ask_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--smoke", "--wandb", "disabled", "--output-dir", str(tmp_path)]
    with chat_server(lambda _body, _number: completion("I cannot tell.")) as server:
        monkeypatch.setenv("SLR_JUDGE_BASE_URL", server.base_url)
        monkeypatch.setenv("SLR_JUDGE_MODEL", "m")
        monkeypatch.setenv("SLR_JUDGE_API_KEY", KEY)
        for name in ("judge", "canonicalise"):
            assert main(["run", name, *arguments]) == 0
            asked = len(server.bodies)
            assert asked
            assert main(["run", name, *arguments]) == 0
            assert len(server.bodies) == asked
    scores, answers = (ResultsStore(tmp_path / f"{name}.jsonl").read() for name in ("judge", "canonicalise"))
    assert any(isinstance(record, JudgeScores) for record in scores)
    assert any(isinstance(record, CanonicalAnswers) for record in answers)
    assert all(KEY not in path.read_text() for path in tmp_path.rglob("*.json*"))


@pytest.mark.parametrize("name", ["judge", "canonicalise"])
def test_without_an_endpoint_it_says_what_to_set(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", name, "--output-dir", str(tmp_path)]) == 2
    assert "error: SLR_JUDGE_BASE_URL is not set" in capsys.readouterr().err


def test_run_all_judges_only_where_there_is_an_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert catalogue.by_endpoints() == []
    for prefix in ("SLR_JUDGE", "SLR_JUDGE2"):
        monkeypatch.setenv(f"{prefix}_BASE_URL", "http://127.0.0.1:1/v1")
        monkeypatch.setenv(f"{prefix}_MODEL", "m")
    names = [make("testbed", True).name for make in catalogue.by_endpoints()]
    assert names == ["judge", "second_judge", "canonicalise"]
