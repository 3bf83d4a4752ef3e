from __future__ import annotations

from pathlib import Path

import pytest

from slr.analysis.load_results import Results, find_runs, load_results
from slr.runs.records import Failure
from tests.analysis.synthetic import PROVENANCE, crc_records, write_results


def failure(pair: str, message: str) -> Failure:
    return Failure(
        experiment="crc_search",
        pair=pair,
        provenance=PROVENANCE.model_copy(update={"cell": f"{pair}/models"}),
        error_type="ValueError",
        message=message,
    )


def test_reports_of_complete_pairs_only() -> None:
    results = Results((*crc_records("pair-one"), crc_records("pair-two")[0]))
    assert [report.pair for report in results.crc_reports] == ["pair-one"]
    assert results.unfinished_pairs == ["pair-two (not finished)"]


def test_pairs_of_a_preset_are_missed() -> None:
    records = (*crc_records("testbed-llama"), failure("testbed-gemma", "a shard " * 100))
    no_qwen, failed = Results(records, "testbed").unfinished_pairs
    assert no_qwen == "testbed-qwen (not begun)"
    assert failed.startswith("testbed-gemma (ValueError: a shard a shard")
    assert len(failed) < 200
    assert Results(records[:-1], "elsewhere").unfinished_pairs == []


def test_costs_measured_beside_are_read(tmp_path: Path) -> None:
    write_results(tmp_path / "testbed", ("pair-one",))
    write_results(tmp_path / "search_cost", ("random",))
    assert {cost.pair for cost in load_results(tmp_path / "testbed").search_costs} == {"pair-one", "random"}


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no directory .*nothing.* run slr run all first"):
        load_results(tmp_path / "nothing")


def test_runs_of_all_presets_of_one_or_of_a_directory(tmp_path: Path) -> None:
    for name in ("testbed", "paper", "testbed-smoke", "search_cost"):
        write_results(tmp_path / name, ("pair-one",))
    assert find_runs(tmp_path) == [tmp_path / "testbed", tmp_path / "paper"]  # in the order of the presets
    assert find_runs(tmp_path, "paper") == [tmp_path / "paper"]
    assert find_runs(tmp_path / "testbed-smoke") == [tmp_path / "testbed-smoke"]
    (tmp_path / "empty" / "small").mkdir(parents=True)
    assert find_runs(tmp_path / "empty" / "small") == [tmp_path / "empty" / "small"]
    with pytest.raises(ValueError, match=r"no records in .*empty"):
        find_runs(tmp_path / "empty")
