"""A few kills in every run of the long tests; ``python -m tests.kill_harness --kills 50`` makes more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kill_harness import check_records, debris, half_written, kill_commands


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_commands_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    report = kill_commands(tmp_path, ["search", "build"], kills=3, seed=1)
    assert report.problems == []
    assert report.kills >= 3


def test_what_is_half_written_missing_or_left_behind_is_found(tmp_path: Path) -> None:
    for name, content in {
        "a.png": b"\x89PNG",
        "b.pdf": b"%PDF\n%%EOF\n",
        "c.json": b"",
        ".d.unfinished": b"x",
    }.items():
        (tmp_path / name).write_bytes(content)
    assert sorted(half_written(tmp_path)) == [
        f"{tmp_path / name} is half-written" for name in ("a.png", "c.json")
    ]
    (tmp_path / "expected" / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "expected" / "wandb" / "offline-run-1" / "run.wandb").touch()
    assert check_records(tmp_path / "expected", tmp_path / "made") == [
        f"{tmp_path / 'made'} has 0 runs in W&B, expected 1"
    ]
    assert debris(tmp_path) == [f"{tmp_path / '.d.unfinished'} was left behind"]
