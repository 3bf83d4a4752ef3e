"""Runs on pairs that a file describes; ``test_run_all`` has a whole run on one pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from slr.cli import main
from slr.runs.records import PairInfo, Samples
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from tests.conftest import CheckpointPairs


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_pairs_of_a_file_have_its_sizes_and_one_that_cannot_be_used_stops_no_other(
    checkpoint_pairs: CheckpointPairs, capfd: pytest.CaptureFixture[str]
) -> None:
    base, instruct = checkpoint_pairs("olmo2")
    other, _ = checkpoint_pairs("llama", num_layers=3)
    Path("mine.yaml").write_text(
        "preset: testbed\n"
        "pairs:\n"
        f"- {{base: {base}, instruct: {other}, name: broken}}\n"
        f"- {{base: {base}, instruct: {instruct}, name: good, family: a family}}\n"
        "experiments: {open_qa: {num_prompts: 2, num_samples: 3, max_new_tokens: 4, num_seeds: 1}}\n",
        encoding="utf-8",
    )
    assert main(["run", "open_qa", "--pairs", "mine.yaml", "--wandb", "disabled"]) == 2
    assert "error: broken: " in capfd.readouterr().err
    samples = of_kind(ResultsStore(Path("results/mine/open_qa.jsonl")).read(), Samples)
    assert {(record.pair, record.family, len(record.texts)) for record in samples} == {
        ("good", "a family", 3)
    }
    assert len({record.prompt_id for record in samples}) == 2
    [info] = of_kind(ResultsStore(Path("results/mine/crc_search.jsonl")).read(), PairInfo)
    assert info.pair == "good"
    # What is missing is asked for by the file that the run keeps.
    assert main(["figures", "--results-dir", "results/mine", "--output-dir", "drawn"]) == 0
    said = capfd.readouterr().err
    assert "Not measured yet; run: slr run quality --pairs results/mine/run.yaml" in said
    assert "Missing: broken (not begun)" in said
