"""Scores of pairs that were trained from other seeds: the shipped ones, and the command that makes them."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from slr.crc.report import crc_report, interval_candidates, soup_candidates
from slr.crc.selection import select
from slr.crc.study import SMOKE
from slr.models.packaged import TESTBED_NAMES
from slr.runs.records import AnyRecord, Configuration, CrcScore, CrcSelection
from slr.stability.report import stability_report
from slr.testbed.seeds import SUFFIX, other_seeds, read_scores, shipped_seed
from slr.testbed.seeds.__main__ import main
from tests.conftest import CheckpointPairs

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(Path(str(resources.files("slr.testbed.seeds"))).glob(f"*{SUFFIX}"))
PAIRS = [f"testbed-{family}" for family in TESTBED_NAMES]


def choice_in(records: list[AnyRecord]) -> CrcSelection:
    [choice] = [record for record in records if isinstance(record, CrcSelection)]
    return choice


def test_files_ship_and_stay_small() -> None:
    assert SHIPPED
    assert sum(path.stat().st_size for path in SHIPPED) < 500_000
    assert '"slr.testbed.seeds" = ["*.jsonl.gz"]' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_scores_agree_with_their_own_selection(path: Path) -> None:
    trained, records = read_scores(path)
    choice = choice_in(records)
    assert trained.pair in PAIRS
    assert {record.pair for record in records} == {trained.pair}
    assert trained.seed == trained.training["config"]["seed"] != shipped_seed(trained.pair)
    candidates = interval_candidates(records)
    assert len(candidates) == choice.num_layers * (choice.num_layers + 1) // 2
    chosen = select(candidates, choice.instruct_validity).chosen
    assert chosen is not None
    assert chosen.choice.ends == choice.interval
    soup = select(soup_candidates(records), choice.instruct_validity).chosen
    assert (None if soup is None else soup.choice) == choice.soup_alpha
    instruct = next(r for r in records if isinstance(r, CrcScore) and r.key.endswith("selection/instruct"))
    assert sum(v or 0.0 for v in instruct.validity) / 40 == pytest.approx(choice.instruct_validity, abs=1e-6)
    # Every interval has scores on the held-out prompts.
    assert stability_report(records, trained.pair).interval == chosen.choice


@pytest.mark.parametrize("pair", PAIRS)
def test_other_weights_have_other_scores(pair: str) -> None:
    digests = [
        record.instruct_files
        for records in other_seeds(pair).values()
        for record in records
        if isinstance(record, Configuration) and record.experiment == "crc_search"
    ]
    assert len({json.dumps(digest) for digest in digests}) == len(digests) == len(other_seeds(pair))


def test_only_the_testbed_has_seeds() -> None:
    assert [shipped_seed(pair) for pair in (*PAIRS, "small-llama")] == [0, 0, 0, None]
    assert other_seeds("small-llama") == {}


def test_the_command_scores_a_directory_of_trained_pairs(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slr.testbed.seeds.__main__.FULL", SMOKE)
    base, instruct = checkpoint_pairs("qwen2", num_layers=4)
    trained = tmp_path / "qwen"
    trained.mkdir()
    (trained / "base").symlink_to(base)
    (trained / "instruct").symlink_to(instruct)
    training = {"config": {"seed": 7}, "num_layers": 4, "num_parameters": 1000}
    (trained / "training.json").write_text(json.dumps(training))
    (tmp_path / "gemma" / "base").mkdir(parents=True)  # still in training
    assert main(["--pairs-dir", str(tmp_path), "--output-dir", str(tmp_path)]) == 0
    [path] = tmp_path.glob(f"*{SUFFIX}")
    found, records = read_scores(path)
    assert (path.name, found.pair, found.seed, found.training) == (
        "qwen-7.jsonl.gz",
        "testbed-qwen",
        7,
        training,
    )
    scores = [record for record in records if isinstance(record, CrcScore)]
    for prompt_set in ("selection", "held_out"):
        assert len({s.interval for s in scores if s.prompt_set == prompt_set and s.interval}) == 10
    assert not [s for s in scores if s.min_p is not None]
    assert all(value == round(value, 6) for s in scores for value in s.validity if value is not None)
    assert crc_report(records, "testbed-qwen").num_layers == 4
    assert {record.dtype for record in records if isinstance(record, Configuration)} == {"float32"}
    content = path.read_bytes()
    assert str(tmp_path).encode() not in content
    path.unlink()


def test_a_directory_without_a_finished_pair_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--pairs-dir", str(tmp_path)]) == 2
    assert "FAMILY/training.json: train pairs with" in capsys.readouterr().err
