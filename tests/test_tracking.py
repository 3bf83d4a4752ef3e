from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.experiment import Experiment, store_of
from slr.model_pairs import ModelReference, PairSpec
from slr.tracking import check_account, mirror_pair
from tests.crc.test_report import CHOSEN, study

SPEC = PairSpec(
    name="tiny",
    family="llama",
    base=ModelReference("org/base"),
    instruct=ModelReference("org/instruct"),
    num_layers=3,
    num_parameters=None,
)


@pytest.fixture
def experiment() -> Experiment:
    return crc_experiment(CrcStudyConfig())


@pytest.fixture
def output_dir(tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> Path:
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
            found["summary"] |= content["update"]
        elif entry["type"] == "history":
            found["history"] |= {name.split(".")[0] for name in content["item"]}
        elif entry["type"] == "artifact":
            found["artifacts"].add(content["name"])
    return found


def test_a_run_shows_configuration_tables_summary_and_images(
    experiment: Experiment, output_dir: Path, image: Path
):
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image], ["testbed"])
    assert not {"WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"} & os.environ.keys()
    [run_file] = runs_of(output_dir)
    found = read_back(run_file)
    run = found["run"]
    assert (run["display_name"], run["run_group"], run["job_type"]) == (
        "crc_search/tiny",
        "crc_search",
        "search",
    )
    assert run["tags"] == ["llama", "testbed"]
    assert found["config"]["experiment"]["min_validity_ratio"] == 0.9
    assert found["config"]["pair"]["name"] == "tiny"
    assert found["config"]["provenance"]["config_hash"] == "aaaaaaaaaaaa"
    assert found["summary"]["interval"] == f"{CHOSEN[0]}:{CHOSEN[1]}"
    assert found["summary"]["selection/base/validity"] == pytest.approx(0.35, abs=0.05)
    assert {"intervals", "soups", "figures/heatmap", "soup/alpha", "soup/diversity"} <= found["history"]
    assert "soup/validity" not in found["summary"]
    assert "crc_search-tiny" in found["artifacts"]


def test_everything_is_written_below_the_output_directory(
    experiment: Experiment, output_dir: Path, image: Path
):
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert {path.name for path in output_dir.iterdir()} == {"crc_search.jsonl", "wandb"}
    assert not any((output_dir.parent / "home").iterdir())


def test_only_what_is_new_makes_a_run_and_its_id_stays(experiment: Experiment, output_dir: Path, image: Path):
    store = store_of(experiment, output_dir)
    assert mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline", [image])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    record = store.read()[0]
    store.append([record.model_copy(update={"pair": "other"})])
    assert not mirror_pair(experiment, SPEC, output_dir, "offline")
    store.append([record.model_copy(update={"alpha": 0.5})])
    assert mirror_pair(experiment, SPEC, output_dir, "offline")
    assert len({path.name for path in runs_of(output_dir)}) == 1


def test_disabled_never_imports_wandb(output_dir: Path):
    code = f"""
import sys
from pathlib import Path
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.tracking import mirror_pair
from tests.test_tracking import SPEC
assert not mirror_pair(crc_experiment(CrcStudyConfig()), SPEC, Path({str(output_dir)!r}), "disabled")
sys.exit("wandb" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 0
    assert not (output_dir / "wandb").exists()


def test_a_failure_of_wandb_is_told_and_loses_nothing(
    experiment: Experiment,
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
    experiment: Experiment,
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


def test_a_pair_without_records_makes_no_run(experiment: Experiment, tmp_path: Path):
    assert not mirror_pair(experiment, SPEC, tmp_path, "offline")
    assert not (tmp_path / "wandb").exists()
