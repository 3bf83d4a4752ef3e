from __future__ import annotations

import logging
from pathlib import Path

import pytest

from slr.records import CrcSelection, Failure, Provenance
from slr.results_store import ResultsStore


def provenance(cell: str = "llama/search", config_hash: str = "aaaaaaaaaaaa") -> Provenance:
    return Provenance(
        cell=cell,
        config_hash=config_hash,
        commit="unknown",
        dirty=None,
        created_at="2026-01-01T00:00:00+00:00",
        device="CPU, 2 threads",
        versions={},
    )


def selection(pair: str = "llama", reason: str = "best", config_hash: str = "aaaaaaaaaaaa") -> CrcSelection:
    return CrcSelection(
        experiment="crc_search",
        pair=pair,
        provenance=provenance(config_hash=config_hash),
        family="llama",
        num_layers=4,
        min_validity_ratio=0.9,
        instruct_validity=1.0,
        interval=(1, 3),
        interval_reason=reason,
        soup_alpha=None,
        soup_reason="none",
    )


def failure(message: str, cell: str = "llama/search") -> Failure:
    return Failure(
        experiment="crc_search",
        pair="llama",
        provenance=provenance(cell),
        error_type="RuntimeError",
        message=message,
    )


@pytest.fixture
def store(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results" / "crc_search.jsonl")


def test_gives_back_what_was_appended_in_order(store: ResultsStore):
    assert store.read() == []
    records = [selection("llama"), selection("qwen", "line\nbreaks \u2028 and ünicode")]
    store.append(records[:1])
    store.append(records[1:])
    store.append([])
    assert store.read() == records
    assert store.keys() == {"llama/crc_selection", "qwen/crc_selection"}
    assert len(store.path.read_bytes().splitlines()) == 2


def test_a_cut_last_line_is_dropped_and_then_overwritten(
    store: ResultsStore, caplog: pytest.LogCaptureFixture
):
    store.append([selection("llama"), selection("qwen", "grün")])
    content = store.path.read_bytes()
    store.path.write_bytes(content[: content.index("ü".encode()) + 1])  # in the middle of a character
    with caplog.at_level(logging.WARNING):
        assert store.read() == [selection("llama")]
    assert "unfinished last line" in caplog.text
    store.append([selection("gemma")])
    assert store.read() == [selection("llama"), selection("gemma")]


def test_a_damaged_line_is_named(store: ResultsStore):
    store.append([selection("llama"), selection("qwen")])
    first, second = store.path.read_text().splitlines()
    store.path.write_text(f"{first[:40]}\n{second}\n")
    with pytest.raises(ValueError, match=r"crc_search\.jsonl, line 1 is no record"):
        store.read()


def test_of_equal_keys_the_first_result_counts(store: ResultsStore):
    store.append([selection(reason="first"), selection(reason="second")])
    assert store.read() == [selection(reason="first")]


def test_a_result_ends_the_failure_before_it(store: ResultsStore):
    store.append([failure("out of memory"), selection()])
    assert store.read() == [selection()]


def test_a_failure_hides_no_result_that_its_cell_made_before(store: ResultsStore):
    store.append([selection(), failure("out of memory")])
    assert store.read() == [selection(), failure("out of memory")]
    assert store.keys() == {selection().key}


def test_of_a_failed_cell_the_last_failure_is_given_and_is_no_result(store: ResultsStore):
    store.append([failure("first"), failure("second")])
    assert store.read() == [failure("second")]
    assert store.keys() == set()


def test_refuses_records_of_another_configuration(store: ResultsStore):
    store.append([selection(config_hash="aaaaaaaaaaaa")])
    assert store.read_for("aaaaaaaaaaaa") == store.read()
    with pytest.raises(ValueError, match=r"aaaaaaaaaaaa.*bbbbbbbbbbbb.*--output-dir, or delete the file"):
        store.read_for("bbbbbbbbbbbb")
