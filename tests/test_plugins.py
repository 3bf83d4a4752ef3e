"""What other packages add: found by real metadata, loaded only when named, refused in words that name the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slr.cli import main
from slr.crc.scorer import Scorer
from slr.downstream.metric import Metric
from slr.downstream.task import Task, find_task, load_task
from slr.plugins import OWN, Group, added_names, load_plugin
from slr.runs.trackers import Tracker
from slr.terminal.bad_input import BAD_INPUT, FAILED
from tests.installed_packages import install

TWO = {"slr.metrics": {"both": "made_up:METRIC"}}
BROKEN = {
    "slr.metrics": {
        "absent": "there_is_no_such_module:X",
        "empty": "made_up_parts:NOTHING",
        "leaves": "made_up_exit:X",
        "number": "made_up_parts:NUMBER",
    },
    "slr.tasks": {"empty_task": "made_up_parts:TASK", "a/b": "made_up_parts:TASK"},
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path, with a package that is broken in many ways."""
    (tmp_path / "made_up_parts.py").write_text(
        "from slr.downstream.task import Task\nNUMBER = 7\nTASK = Task(prompts=lambda *_: (), metrics=lambda *_: ())\n",
        "utf-8",
    )
    (tmp_path / "made_up_exit.py").write_text("raise SystemExit(3)", "utf-8")
    install(tmp_path, "made-up", "0.2", BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    # Modules of this name may be left from tests before, of this file and of others in the same process.
    for module in [name for name in sys.modules if name.startswith("made_up")]:
        monkeypatch.delitem(sys.modules, module)
    return tmp_path


@pytest.mark.parametrize(("group", "kind"), list(zip(OWN, (Metric, Task, Scorer, Tracker), strict=True)))
def test_what_slr_has_itself_is_registered_like_the_rest(group: Group, kind: type[object]) -> None:
    for name in OWN[group]:
        assert load_plugin(group, name, kind).package == "slr"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "absent",
            r"made-up 0\.2 cannot be loaded from there_is_no_such_module:X \(ModuleNotFoundError.*repair",
        ),
        ("empty", r"made-up 0\.2 cannot be loaded from made_up_parts:NOTHING \(AttributeError"),
        ("leaves", r"made-up 0\.2 cannot be loaded from made_up_exit:X \(SystemExit: 3\)"),
        (
            "number",
            r"made-up 0\.2 is a int \(made_up_parts:NUMBER\), expected a slr\.downstream\.metric\.Metric",
        ),
        (
            "numbr",
            r"is not known, expected one of absent, empty, leaves, number; did you mean 'number'\?.*slr\.metrics",
        ),
        ("Big", r"other characters than a-z, 0-9 and _"),
    ],
)
@pytest.mark.usefixtures("packages")
def test_an_unusable_name_is_refused_in_words(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_plugin("slr.metrics", name, Metric)


def test_a_name_in_two_packages_is_refused(packages: Path) -> None:
    install(packages, "one", "1.0", TWO)
    install(packages, "other", "3.1", TWO)
    with pytest.raises(
        ValueError, match=r"the metric 'both' is in the packages one 1\.0 and other 3\.1: uninstall"
    ):
        load_plugin("slr.metrics", "both", Metric)


def test_no_package_replaces_what_slr_has(packages: Path) -> None:
    install(packages, "thief", "1.0", {"slr.tasks": {"open_qa": "made_up_parts:TASK"}})
    assert "open_qa" not in added_names("slr.tasks")
    assert find_task("open_qa").package == "slr"
    assert load_task("open_qa", "testbed", 2)


def test_a_broken_package_disturbs_no_run_that_leaves_it_out(
    packages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--smoke", "--dry-run", "--families", "llama", "--output-dir", str(packages / "run")]
    assert main(["run", "all", *options]) == 0
    assert "made-up" not in "".join(capsys.readouterr())
    assert not [name for name in sys.modules if name.startswith("made_up")]
    assert main(["run", "open_qa", *options, "--metrics", "leaves"]) == BAD_INPUT
    assert "error: the metric 'leaves' of the package made-up 0.2" in capsys.readouterr().err


@pytest.mark.usefixtures("packages")
def test_a_task_without_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="the task 'empty_task' has 0 prompts of the source testbed"):
        load_task("empty_task", "testbed", 2)


@pytest.mark.usefixtures("packages")
def test_the_list_of_plugins_loads_each_and_says_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == FAILED
    out, err = capsys.readouterr()
    assert ["task", "empty_task", "made-up", "0.2"] in [line.split() for line in out.splitlines()]
    assert err.count("error:") == len(BROKEN["slr.metrics"]) + 1
    assert "the task 'a/b'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "namig"], "EXPERIMENT is 'namig', expected crc_search"),
        (["run", "crc_search", "--metrics", "absent"], "the metric 'absent' of the package made-up 0.2"),
        (["run", "open_qa", "--metrics", "coverage"], "slr has a metric 'coverage' itself"),
        (["run", "open_qa", "--trackers", "lines"], "the tracker 'lines' is not known"),
        (["search", "testbed-llama", "--scorer", "entropie"], "did you mean 'entropy'?"),
    ],
)
def test_a_wrong_name_on_the_command_line_gives_one_line(
    packages: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(packages)
    assert main(words) == BAD_INPUT
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert message in line
