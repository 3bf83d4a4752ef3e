from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slr.runs.records import Configuration, CrcSelection, Failure, Provenance
from slr.runs.results_store import ResultsStore, stores_in


def provenance(cell: str = "llama/search", config_hash: str = "aaaaaaaaaaaa", second: int = 0) -> Provenance:
    return Provenance(
        cell=cell,
        config_hash=config_hash,
        commit="unknown",
        dirty=None,
        created_at=f"2026-01-01T00:00:{second:02}+00:00",
        device="CPU, 2 threads",
        versions={},
    )


def selection(
    pair: str = "llama", reason: str = "best", config_hash: str = "aaaaaaaaaaaa", second: int = 0
) -> CrcSelection:
    return CrcSelection(
        experiment="crc_search",
        pair=pair,
        provenance=provenance(config_hash=config_hash, second=second),
        family="llama",
        num_layers=4,
        min_validity_ratio=0.9,
        instruct_validity=1.0,
        interval=(1, 3),
        interval_reason=reason,
        soup_alpha=None,
        soup_reason="none",
    )


def configuration(pair: str = "llama", config_hash: str = "aaaaaaaaaaaa", **changes: Any) -> Configuration:
    values: dict[str, Any] = {
        "settings": {"ratio": 0.9},
        "dtype": "float32",
        "base": "a/base",
        "base_weights": None,
        "instruct": "a/instruct",
        "instruct_weights": None,
    }
    return Configuration(
        experiment="crc_search",
        pair=pair,
        provenance=provenance(f"{pair}/configuration", config_hash),
        **(values | changes),
    )


def failure(message: str, cell: str = "llama/search", second: int = 0) -> Failure:
    return Failure(
        experiment="crc_search",
        pair="llama",
        provenance=provenance(cell, second=second),
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


def test_where_records_cannot_be_written_the_file_is_named(tmp_path: Path):
    (tmp_path / "results").touch()
    with pytest.raises(OSError, match=r"cannot be written to .*/results/crc_search\.jsonl: \w+"):
        ResultsStore(tmp_path / "results" / "crc_search.jsonl").append([selection()])


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


def test_the_same_configuration_goes_on(store: ResultsStore):
    store.append([configuration(), selection()])
    assert store.read_for(configuration()) == store.read()
    assert store.read_for(configuration("qwen", base="b/base", instruct_weights="0123")) == store.read()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"settings": {"ratio": 0.8}}, "ratio was 0.9 and is now 0.8"),
        ({"settings": {"ratio": 0.9, "new": [1]}}, r"new was None and is now \[1\]"),
        ({"dtype": "bfloat16"}, "dtype was float32 and is now bfloat16"),
        ({"base": "b/base"}, "base was a/base and is now b/base"),
        ({"versions": {"scoring": "2"}}, "version of scoring was None and is now 2"),
        ({"inputs": {"chosen interval": [1, 2]}}, r"chosen interval was None and is now \[1, 2\]"),
    ],
)
def test_another_configuration_is_refused_and_the_difference_said(
    store: ResultsStore, changes: dict[str, Any], difference: str
):
    store.append([configuration(), selection()])
    with pytest.raises(ValueError, match=f"not be mixed: {difference}. Give another --output-dir, or delete"):
        store.read_for(configuration(**changes))


def test_another_pair_must_have_the_same_settings(store: ResultsStore):
    store.append([configuration(), selection()])
    with pytest.raises(ValueError, match=r"ratio was 0\.9 and is now 0\.8"):
        store.read_for(configuration("qwen", settings={"ratio": 0.8}))


def test_another_configuration_is_refused_where_it_is_not_known_what_it_was(store: ResultsStore):
    store.append([selection(config_hash="aaaaaaaaaaaa")])
    with pytest.raises(ValueError, match="its hash was aaaaaaaaaaaa and is now bbbbbbbbbbbb"):
        store.read_for(configuration(config_hash="bbbbbbbbbbbb"))


def lose(store: ResultsStore) -> None:
    store.path.unlink()


def lose_directory(store: ResultsStore) -> None:
    shutil.rmtree(store.path.parent)


def replace_by_a_copy(store: ResultsStore) -> None:
    content = store.path.read_bytes()
    store.path.rename(store.path.with_suffix(".old"))
    store.path.write_bytes(content)


def write_by_another(store: ResultsStore) -> None:
    ResultsStore(store.path).append([selection("gemma", config_hash="bbbbbbbbbbbb")])


@pytest.mark.parametrize("is_read_only", [True, False])
@pytest.mark.parametrize(
    ("happens", "what"),
    [
        (lose, "removed"),
        (lose_directory, "removed"),
        (replace_by_a_copy, "changed"),
        (write_by_another, "changed"),
    ],
)
def test_a_file_that_another_changed_since_it_was_seen_is_not_appended_to(
    store: ResultsStore, happens: Callable[[ResultsStore], None], what: str, is_read_only: bool
):
    ResultsStore(store.path).append([selection("llama")])
    store.read()
    if not is_read_only:
        store.append([selection("qwen")])
    happens(store)
    content = store.path.read_bytes() if store.path.exists() else None
    with pytest.raises(OSError, match=rf"crc_search\.jsonl was {what} by another program during the run"):
        store.append([selection("phi")])
    assert (store.path.read_bytes() if store.path.exists() else None) == content


def test_a_file_that_another_made_is_not_appended_to(store: ResultsStore):
    assert store.read() == []
    write_by_another(store)
    with pytest.raises(OSError, match="was made by another program during the run"):
        store.append([selection()])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_disk_that_takes_no_more_loses_no_earlier_record_and_the_next_run_goes_on(store: ResultsStore):
    import resource

    store.append([selection("llama")])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size + 30, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written to .*crc_search\.jsonl: File too large"):
            store.append([selection("qwen", "many words " * 10)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not store.path.read_bytes().endswith(b"\n")
    again = ResultsStore(store.path)
    assert again.read() == [selection("llama")]
    again.append([selection("qwen")])
    assert again.read() == [selection("llama"), selection("qwen")]


def with_files(base: str, instruct: str) -> Configuration:
    sides = {
        "base_files": {"weights": base},
        "instruct_files": {"weights": "0", "chat template": instruct},
    }
    return configuration().model_copy(update=sides)


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (("0", "0"), ("1", "0"), "weights of base changed since 2026-01-01T00:00:00"),
        (("0", "0"), ("0", "1"), "chat template of instruct changed since 2026-01-01T00:00:00"),
    ],
)
def test_a_changed_checkpoint_is_refused_and_the_part_named(
    store: ResultsStore, then: tuple[str, str], now: tuple[str, str], words: str
):
    store.append([with_files(*then), selection()])
    assert store.read_for(with_files(*then)) == store.read()
    with pytest.raises(ValueError, match=rf"not be mixed: {re.escape(words)}[^;]*\. Give another"):
        store.read_for(with_files(*now))


def test_records_of_an_earlier_version_can_be_read_but_not_gone_on_from(store: ResultsStore):
    old = configuration(base="/home/somebody/base", base_weights="0123", instruct_weights="4567")
    store.append([old, selection()])
    assert store.read() == [old, selection()]
    with pytest.raises(
        ValueError, match=r"the earlier files of base are not known, because .* an earlier version"
    ):
        store.read_for(with_files("0", "0"))


def test_files_of_several_processes_are_read_as_one(store: ResultsStore):
    second, eleventh = (ResultsStore(store.path, rank) for rank in (1, 10))
    eleventh.append([selection("gemma", second=1)])
    second.append([selection("qwen", second=2)])
    assert store.read() == [selection("gemma", second=1), selection("qwen", second=2)]  # without a first file
    store.append([selection("llama", second=3)])
    names = ["crc_search.jsonl", "crc_search.rank1.jsonl", "crc_search.rank10.jsonl"]
    assert [path.name for path in store.files()] == names
    assert store.keys() == second.keys() == {selection(pair).key for pair in ("llama", "qwen", "gemma")}


def test_files_of_processes_belong_to_one_store_of_the_directory(store: ResultsStore):
    store.append([selection()])
    ResultsStore(store.path, 1).append([selection("qwen")])
    only_second = store.path.with_name("open_qa.jsonl")
    ResultsStore(only_second, 1).append([selection("gemma")])
    assert [found.path for found in stores_in(store.path.parent)] == [store.path, only_second]
    assert [record.pair for found in stores_in(store.path.parent) for record in found.read()] == [
        "llama",
        "qwen",
        "gemma",
    ]


def test_across_files_time_decides_which_record_counts(store: ResultsStore):
    second = ResultsStore(store.path, 1)
    second.append([selection(reason="first", second=1)])
    store.append([selection(reason="second", second=2)])
    assert store.read() == [selection(reason="first", second=1)]


def test_a_failure_in_one_file_is_ended_by_a_later_result_in_another(store: ResultsStore):
    ResultsStore(store.path, 1).append([failure("out of memory", second=2)])
    store.append([selection("qwen", second=2)])  # another process's share of the same cell, begun with it
    assert store.read() == [selection("qwen", second=2), failure("out of memory", second=2)]
    store.append([selection("llama", second=3)])
    assert store.read() == [selection("qwen", second=2), selection("llama", second=3)]


def test_another_configuration_in_any_file_is_refused(store: ResultsStore):
    store.append([selection()])
    ResultsStore(store.path, 1).append([configuration(settings={"ratio": 0.8})])
    with pytest.raises(ValueError, match=r"crc_search\.jsonl, .*rank1\.jsonl holds .* or delete the files"):
        store.read_for(configuration())
