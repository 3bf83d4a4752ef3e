"""Trackers of other packages: what they get, and that none of them can stop a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slr.crc.study import SMOKE, crc_experiment
from slr.models.presets import find_pair
from slr.plugins import Plugin
from slr.runs.trackers import TrackedRun, Tracker, load_trackers, show_pair
from tests.installed_packages import install

SPEC = find_pair("testbed-llama")


def plugin(name: str, show: Callable[[TrackedRun], None]) -> Plugin[Tracker]:
    return Plugin(name=name, value=Tracker(show=show), package="made-up 1.0")


def test_a_tracker_gets_the_numbers_and_where_they_come_from(smoke_search: Path) -> None:
    shown: list[TrackedRun] = []
    show_pair([plugin("kept", shown.append)], crc_experiment(SMOKE), SPEC, smoke_search, smoke=True)
    [run] = shown
    assert (run.experiment, run.pair, run.smoke) == ("crc_search", "testbed-llama", True)
    assert run.records == smoke_search / "crc_search.jsonl"
    assert run.settings["max_prompts"] == 4
    assert 0 <= run.results.summary["selection/instruct/validity"] <= 1
    assert len(run.results.tables["intervals"][1]) > 10


def test_a_tracker_that_fails_is_reported_and_the_next_one_is_shown_the_run(
    smoke_search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[TrackedRun] = []

    def fail(_run: TrackedRun) -> None:
        raise OSError("no way\x1b[2J to the server")

    show_pair([plugin("bad", fail), plugin("kept", shown.append)], crc_experiment(SMOKE), SPEC, smoke_search)
    assert len(shown) == 1
    error = capsys.readouterr().err
    assert (
        "tracker 'bad' of the package made-up 1.0 did not show crc_search/testbed-llama: OSError: no way"
        in error
    )
    assert "\x1b" not in error


def test_nothing_is_shown_where_nothing_is_on_record(tmp_path: Path) -> None:
    shown: list[TrackedRun] = []
    show_pair([plugin("kept", shown.append)], crc_experiment(SMOKE), SPEC, tmp_path)
    assert shown == []


def test_a_tracker_says_before_the_work_that_it_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "made-up-tracker", "1.0", {"slr.trackers": {"locked": "made_up_tracker:LOCKED"}})
    (tmp_path / "made_up_tracker.py").write_text(
        "from slr.runs.trackers import Tracker\n"
        "def check():\n    raise PermissionError('log in first')\n"
        "LOCKED = Tracker(show=print, check=check)\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"'locked' of the package made-up-tracker 1\.0 cannot be used: log in first"
    ):
        load_trackers(["locked"])
