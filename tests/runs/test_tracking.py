from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.files.whole import write_whole
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import AnyExperiment, RunMirror, store_of
from slr.runs.run_content import logged_name, named_for_wandb
from slr.runs.tracking import Steps, mirror_pair
from slr.runs.wandb_files import check_account
from slr.terminal.stopping import Stopped
from tests.crc.test_report import CHOSEN, study
from tests.wandb_server import wandb_server

SPEC = PairSpec(
    name="tiny",
    family="llama",
    base=ModelReference("org/base"),
    instruct=ModelReference("org/instruct"),
    num_layers=3,
    num_parameters=None,
)


@pytest.fixture
def experiment() -> AnyExperiment:
    return crc_experiment(CrcStudyConfig())


@pytest.fixture
def output_dir(tmp_path: Path, experiment: AnyExperiment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds the records of a study; the user's home is elsewhere, to see that nothing is written there."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    store_of(experiment, tmp_path / "results").append(study())
    return tmp_path / "results"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    from matplotlib.figure import Figure

    path = tmp_path / "heatmap.png"
    Figure(figsize=(0.2, 0.2)).savefig(path)
    return path


def runs_of(output_dir: Path) -> list[Path]:
    return sorted((output_dir / "wandb").glob("offline-run-*/*.wandb"))


def read_back(run_file: Path) -> dict[str, Any]:
    """Configuration, summary, keys of the history and artifacts, as W&B's own reader finds them."""
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(run_file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries = [json.loads(line) for line in printed.splitlines()]
    found: dict[str, Any] = {"summary": {}, "history": set(), "artifacts": set()}
    for entry in entries:
        content = entry.get(entry["type"], {})
        if entry["type"] == "run":
            found |= {"config": content["config"]["update"], "run": content}
        elif entry["type"] == "summary":
            found["summary"] |= {name.split(".")[0]: value for name, value in content["update"].items()}
        elif entry["type"] == "history":
            found["history"] |= {name.split(".")[0] for name in content["item"]}
        elif entry["type"] == "artifact":
            found["artifacts"].add((content["name"], content["type"]))
    return found


def test_a_run_shows_configuration_tables_summary_and_images(
    experiment: AnyExperiment, output_dir: Path, image: Path
):
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert not {"WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"} & os.environ.keys()
    [run_file] = runs_of(output_dir)
    found = read_back(run_file)
    run = found["run"]
    assert (run["display_name"], run["run_group"], run["job_type"]) == (
        "crc_search/tiny",
        "crc_search",
        "search",
    )
    assert run["tags"] == ["llama"]
    assert {key: found["config"][key] for key in ("family", "preset", "size")} == {
        "family": "llama",
        "preset": None,
        "size": "full",
    }
    assert found["config"]["experiment"]["min_validity_ratio"] == 0.9
    assert found["config"]["pair"]["name"] == "tiny"
    assert found["config"]["provenance"]["config_hash"] == "aaaaaaaaaaaa"
    assert found["summary"]["crc_search/hybrid/interval"] == f"{CHOSEN[0]}:{CHOSEN[1]}"
    assert found["summary"]["crc_search/selection/base/validity"] == pytest.approx(0.35, abs=0.05)
    assert {"crc_search/intervals", "crc_search/soups"} <= found["summary"].keys()
    assert "figures/heatmap" in found["history"]
    assert "crc_search/soups/validity" not in found["summary"]
    assert ("crc_search-tiny", "records") in found["artifacts"]


def test_every_metric_is_logged_under_the_name_that_is_told(experiment: AnyExperiment, output_dir: Path):
    """Those of the summary and those of curves; a value that is not defined is not logged."""
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    [run_file] = runs_of(output_dir)
    found = read_back(run_file)
    assert experiment.mirror is not None
    mirror = named_for_wandb(experiment.name, experiment.mirror(study(), SPEC.name))
    told = {name for name, value in mirror.summary.items() if value is not None}
    told |= {f"{name}/{column}" for name, (columns, _) in mirror.curves.items() for column in columns}
    assert len(told) > 12
    logged = {*found["summary"], *found["history"]}
    assert told == {
        name for name in logged if name.startswith("crc_search/") and name.count("/") > 1 and "." not in name
    }


def test_names_are_in_characters_that_wandb_sorts_by():
    assert logged_name("open_qa", "instruct temperature=0.7/pass@16") == (
        "open_qa/instruct_temperature_0_7/pass_at_16"
    )
    assert logged_name("creative_writing", "poem/hybrid/fluency (proxy)") == (
        "creative_writing/poem/hybrid/fluency_proxy"
    )


def test_two_names_that_would_be_one_are_refused():
    with pytest.raises(ValueError, match="a b, a-b have the same name in W&B"):
        named_for_wandb("one", RunMirror(summary={"a b": 1, "a-b": 2}, tables={}))


def test_a_smoke_run_says_so_and_its_records_are_not_taken_for_results(
    experiment: AnyExperiment, output_dir: Path
):
    spec = replace(SPEC, name="testbed-llama")
    records = [record.model_copy(update={"pair": spec.name}) for record in study()]
    store_of(experiment, output_dir).append(records)
    assert mirror_pair(experiment, spec, output_dir, "offline", smoke=True)
    [run_file] = runs_of(output_dir)
    found = read_back(run_file)
    assert found["run"]["tags"] == ["llama", "testbed", "smoke"]
    assert (found["config"]["preset"], found["config"]["size"]) == ("testbed", "smoke")
    names = {name for name, kind in found["artifacts"] if kind != "run_table"}
    assert names == {"crc_search-testbed-llama-smoke"}
    assert ("crc_search-testbed-llama-smoke", "smoke-records") in found["artifacts"]


def test_everything_is_written_below_the_output_directory(
    experiment: AnyExperiment, output_dir: Path, image: Path
):
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert {path.name for path in output_dir.iterdir()} == {"crc_search.jsonl", "wandb"}
    assert not any((output_dir.parent / "home").iterdir())


def test_only_what_is_new_makes_a_run_and_its_id_stays(
    experiment: AnyExperiment, output_dir: Path, image: Path
):
    store = store_of(experiment, output_dir)
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    record = store.read()[0]
    store.append([record.model_copy(update={"pair": "other"})])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    store.append([record.model_copy(update={"model": "soup", "alpha": 0.5})])
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    assert len({path.name for path in runs_of(output_dir)}) == 1


def test_records_that_are_added_later_are_sent_once_with_the_rows_of_before(
    experiment: AnyExperiment, output_dir: Path, tmp_path: Path
):
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    store = store_of(experiment, output_dir)
    score = next(record for record in store.read() if getattr(record, "model", None) == "soup")
    store.append([score.model_copy(update={"alpha": 0.51})])
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    directories = [str(file.parent) for file in runs_of(output_dir)]
    assert len(directories) == 2
    with wandb_server() as server:
        command = [str(Path(sys.executable).parent / "wandb"), "sync", *directories]
        environment = {**os.environ, **server.environment, "HOME": str(tmp_path / "home")}
        subprocess.run(command, env=environment, capture_output=True, check=True)
        sent = server.run("crc_search/tiny")
    steps = [row["_step"] for row in sent.rows()]
    assert steps == [*range(1, len(steps) + 1)]
    points = [row.get("crc_search/soups/alpha") for row in sent.rows()]
    assert points.count(0.51) == 1
    assert sent.artifacts.count(("crc_search-tiny", "records")) == 2


def test_a_history_keeps_the_order_in_which_cells_ended(tmp_path: Path):
    steps = Steps(tmp_path)
    assert [steps.first_step("run", cell, 1) for cell in ("b", "a")] == [1, 2]
    assert steps.first_step("run", "curve", 5) == 3
    again = Steps(tmp_path)
    assert again.labels("run") == ["b", "a", "curve"]
    assert [again.first_step("run", cell, 1) for cell in ("a", "b", "c")] == [2, 1, 8]
    assert again.count("run") == 8
    again.forget("run")
    assert Steps(tmp_path).labels("run") == []


@pytest.mark.parametrize("content", ["", "[]", '{"run": 3}', '{"run": {"a": "x"}}', "\0"])
def test_a_damaged_list_of_steps_counts_as_empty(tmp_path: Path, content: str):
    (tmp_path / "steps.json").write_text(content)
    steps = Steps(tmp_path)
    assert steps.labels("run") == []
    assert steps.first_step("run", "a", 1) == 1


def test_disabled_never_imports_wandb(output_dir: Path):
    code = f"""
import sys
from pathlib import Path
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.runs.tracking import mirror_pair
from tests.runs.test_tracking import SPEC
assert not mirror_pair(crc_experiment(CrcStudyConfig()), SPEC, Path({str(output_dir)!r}), "disabled")
sys.exit("wandb" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0
    assert not (output_dir / "wandb").exists()


def test_a_failure_of_wandb_is_told_and_loses_nothing(
    experiment: AnyExperiment,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    import wandb

    def fail(**_: object) -> None:
        raise wandb.Error("no such server")

    content = store_of(experiment, output_dir).path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(wandb, "init", fail)
        assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    assert "crc_search/tiny was not mirrored: Error: no such server" in capsys.readouterr().err
    assert store_of(experiment, output_dir).path.read_bytes() == content
    assert mirror_pair(experiment, SPEC, output_dir, "offline")


def test_online_without_an_account_is_refused_and_never_asks(
    experiment: AnyExperiment,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(ValueError, match=r"knows no account: run `wandb login` first\. Or choose offline"):
        check_account("online", output_dir)
    assert not mirror_pair(experiment, SPEC, output_dir, "online")
    assert "crc_search/tiny was not mirrored: ValueError: W&B knows no account" in capsys.readouterr().err
    assert not runs_of(output_dir)
    check_account("offline", output_dir)
    check_account("disabled", output_dir)


def test_online_with_an_account_that_cannot_be_used_is_refused(
    output_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    import wandb

    def refuse(**options: object) -> None:
        assert options == {"prompt": False}
        raise wandb.Error("no such key")

    monkeypatch.setattr(wandb, "login", refuse)
    with pytest.raises(ValueError, match="W&B cannot be used online: no such key"):
        check_account("online", output_dir)


def test_a_pair_without_records_makes_no_run(experiment: AnyExperiment, tmp_path: Path):
    assert not mirror_pair(experiment, SPEC, tmp_path, "offline")
    assert not (tmp_path / "wandb").exists()


NAMES = [
    "my pair, v=1: große_Modelle",
    "my pair, v=1: große_Modelle?",
    "x" * 200,
    "x" * 199 + "y",
    "fits.well-enough_1",
]


def test_a_name_that_wandb_does_not_take_is_cleaned_and_stays_its_own(
    experiment: AnyExperiment, output_dir: Path, capsys: pytest.CaptureFixture[str]
):
    for name in NAMES:
        records = [record.model_copy(update={"pair": name}) for record in study()]
        store_of(experiment, output_dir).append(records)
        assert mirror_pair(experiment, replace(SPEC, name=name), output_dir, "offline")
    assert capsys.readouterr().err == ""
    artifacts = {}
    for run_file in runs_of(output_dir):
        found = read_back(run_file)
        names = {name for name, kind in found["artifacts"] if kind == "records"}
        artifacts[found["config"]["pair"]["name"]] = names
    assert artifacts.keys() == set(NAMES)
    assert artifacts["fits.well-enough_1"] == {"crc_search-fits.well-enough_1"}
    assert len(set.union(*artifacts.values())) == len(NAMES)


@pytest.mark.parametrize("content", ['{"crc_search/tiny": {"mo', "", "[1]", '{"crc_search/tiny": 3}', "\0"])
def test_damaged_marks_are_replaced_with_a_note(
    experiment: AnyExperiment, output_dir: Path, content: str, capsys: pytest.CaptureFixture[str]
):
    marks_file = output_dir / "wandb" / "mirrored.json"
    marks_file.parent.mkdir()
    marks_file.write_text(content)
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    assert f"note: {marks_file} is damaged" in capsys.readouterr().err
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")


def test_a_run_that_was_not_finished_is_removed_by_the_next(experiment: AnyExperiment, output_dir: Path):
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    [whole] = runs_of(output_dir)
    marks_file = output_dir / "wandb" / "mirrored.json"
    run_id = whole.stem.removeprefix("run-")
    unfinished = output_dir / "wandb" / f"offline-run-20200101_000000-{run_id}"
    of_another = output_dir / "wandb" / "offline-run-20200101_000000-0123456789abcdef"
    for directory in (unfinished, of_another):
        directory.mkdir()
    marks = json.loads(marks_file.read_text())
    marks["crc_search/tiny"]["records"] = "of earlier records"
    marks_file.write_text(json.dumps(marks))
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    assert not unfinished.exists()
    assert of_another.exists()
    assert whole.exists()


def test_a_run_that_fails_leaves_nothing_behind(
    experiment: AnyExperiment, output_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: object) -> None:
        raise ValueError("no such artifact")

    with monkeypatch.context() as patched:
        patched.setattr("slr.runs.tracking._to_wandb", fail)
        assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    assert not runs_of(output_dir)
    assert mirror_pair(experiment, SPEC, output_dir, "offline")


def test_a_signal_just_after_the_marks_are_written_leaves_the_run_that_they_name(
    experiment: AnyExperiment, output_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    def write_and_stop(path: Path, text: str) -> None:
        write_whole(path, text)
        if path.name == "mirrored.json":
            raise Stopped(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr("slr.runs.tracking.write_whole", write_and_stop)
        with pytest.raises(Stopped):
            mirror_pair(experiment, SPEC, output_dir, "offline")
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    assert len(runs_of(output_dir)) == 1


def test_a_disk_that_is_full_is_one_line_and_no_mirror(
    experiment: AnyExperiment, output_dir: Path, capfd: pytest.CaptureFixture[str]
):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"the mirror for W&B cannot be written to .*/wandb: File too large"
        ):
            mirror_pair(experiment, SPEC, output_dir, "offline")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capfd.readouterr().err == ""
    assert not runs_of(output_dir)
    assert mirror_pair(experiment, SPEC, output_dir, "offline")


def test_a_file_in_place_of_the_mirror_is_one_line(experiment: AnyExperiment, output_dir: Path):
    (output_dir / "wandb").touch()
    with pytest.raises(OSError, match=r"the mirror for W&B cannot be written to .*/wandb: Not a directory"):
        mirror_pair(experiment, SPEC, output_dir, "offline")
