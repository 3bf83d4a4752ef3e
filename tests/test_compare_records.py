"""The comparison of two directories of results finds what differs, and nothing that a rerun changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runs.test_record_migration import samples_line
from tools.compare_records import main


def write(directory: Path, line: bytes, table: str) -> Path:
    directory.mkdir()
    (directory / "writing.jsonl").write_bytes(line + b"\n")
    (directory / "writing.csv").write_text(table)
    return directory


def test_equal_results_of_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = json.loads(samples_line())
    later["provenance"] |= {"created_at": "2026-02-02T00:00:00+00:00", "commit": "b" * 40}
    before = write(tmp_path / "before", samples_line(), "method,score,seconds\nslr list,0.5,9\n")
    after = write(tmp_path / "after", json.dumps(later).encode(), "method,score,seconds\nhybrid list,0.5,8\n")
    assert main([str(before), str(after)]) == 0
    assert capsys.readouterr().out == "0 differences\n"


def test_every_difference_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write(tmp_path / "before", samples_line(), "method,score\nslr list,0.5\n")
    after = write(tmp_path / "after", samples_line(num_tokens=[3]), "method,score\nhybrid list,0.25\n")
    (after / "more.csv").write_text("x\n1\n")
    assert main([str(before), str(after)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "writing.jsonl: a/pair/samples/hybrid temperature=0.7/poem-01/seed=0: num_tokens[0] was 2 and is 3",
        "more.csv is only after",
        "writing.csv, row 1, score was '0.5' and is '0.25'",
        "3 differences",
    ]


def test_directories_without_results_are_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), str(tmp_path)]) == 2
    assert "expected results or tables" in capsys.readouterr().err
