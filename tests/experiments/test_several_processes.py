"""Experiments run by two processes that ``accelerate launch`` starts, on a pair of tiny random models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from slr.cli import main
from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs.cell_times import measured_cells
from slr.runs.records import RECORD_ADAPTER, Failure
from slr.runs.results_store import ResultsStore, stores_in
from tests.conftest import CheckpointPairs

ROOT = Path(__file__).parents[2]
OPTIONS = ["--smoke", "--wandb", "disabled"]

PROGRAM = ROOT / "tests" / "programs" / "launched_run.py"


@pytest.fixture(scope="module")
def output_of_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the records of one process are, once the first test has made them."""
    return tmp_path_factory.mktemp("one-process")


@pytest.fixture(autouse=True)
def directory(
    checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch, output_of_one: Path
) -> Path:
    """Of the tiny pair, which is the only one of the preset."""
    base, instruct = checkpoint_pairs("llama", num_layers=6)
    spec = PairSpec(
        name="tiny-llama",
        family="llama",
        base=ModelReference(str(base)),
        instruct=ModelReference(str(instruct)),
        num_layers=6,
        num_parameters=None,
    )
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (spec,), "tiny"))
    run_by_one(output_of_one)
    return base.parent


def run_by_one(output_dir: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of the two has; the last bits depend on it
    try:
        assert main(["run", "open_qa", *OPTIONS, "--output-dir", str(output_dir)]) == 0
    finally:
        torch.set_num_threads(threads)


def launch_two(directory: Path, output_dir: Path, misfortune: str) -> subprocess.Popen[str]:
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    defaults = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, *launch, *defaults, "--main_process_port", "0", str(PROGRAM), str(directory)]
    return subprocess.Popen(
        [*command, misfortune, str(output_dir), *OPTIONS, "--device", "cpu"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def measured(output_dir: Path) -> dict[str, dict[str, Any]]:
    """What was measured, by key, without how; and without the cost, which only a search by one process has."""
    return {
        f"{record.experiment}: {record.key}": record.model_dump(exclude={"provenance"})
        for store in stores_in(output_dir)
        for record in store.read()
        if record.kind != "search_cost"
    }


def keys_in(path: Path) -> list[str]:
    """Of the results in one file, that of the configuration left out: every process may write it."""
    records = [RECORD_ADAPTER.validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [record.key for record in records if record.kind not in ("configuration", "failure")]


def all_keys(output_dir: Path, experiment: str = "*") -> list[str]:
    """Of the results in the files of all processes."""
    return [key for path in output_dir.glob(f"{experiment}.*jsonl") for key in keys_in(path)]


def test_two_processes_make_the_records_of_one(directory: Path, output_of_one: Path, tmp_path: Path):
    process = launch_two(directory, tmp_path, "none")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("crc_search tiny-llama: 6 of 6 cells to do") == 1
    assert measured(tmp_path) == measured(output_of_one)
    for name in ("crc_search", "open_qa"):
        timed = measured_cells(ResultsStore(tmp_path / f"{name}.jsonl").read())
        assert {cell.work.processes for cell in timed.values()} == {2}
        assert keys_in(tmp_path / f"{name}.jsonl")
        assert keys_in(tmp_path / f"{name}.rank1.jsonl")
        keys = all_keys(tmp_path, name)
        assert len(keys) == len(set(keys))
    before = {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    run_by_one(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")} == before


def test_a_failure_in_one_process_ends_both_in_order_and_one_process_goes_on(
    directory: Path, output_of_one: Path, tmp_path: Path
):
    process = launch_two(directory, tmp_path, "failing")
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "tiny-llama/soups: failed: RuntimeError: broken" in said
    assert said.count("tiny-llama/selection: left out, because it needs tiny-llama/soups") == 1
    crc = ResultsStore(tmp_path / "crc_search.jsonl")
    [failure] = [record for record in crc.read() if isinstance(record, Failure)]
    assert failure.provenance.cell == "tiny-llama/soups"
    soups = [record for record in crc.read() if "/soup/" in record.key]
    assert 0 < len(soups) < 3  # the share of the other process is kept
    run_by_one(tmp_path)
    assert measured(tmp_path) == measured(output_of_one)
    assert len(all_keys(tmp_path)) == len(set(all_keys(tmp_path)))


def test_one_process_goes_on_where_two_were_stopped(directory: Path, output_of_one: Path, tmp_path: Path):
    process = launch_two(directory, tmp_path, "halting")
    wait_for_results(tmp_path, 12, process)
    process.send_signal(signal.SIGTERM)  # as a batch system does; the launcher passes it on
    process.communicate()
    made = set(all_keys(tmp_path))
    assert len(made) < len(measured(output_of_one))  # it was stopped before the end
    run_by_one(tmp_path)
    assert measured(tmp_path) == measured(output_of_one)
    assert len(all_keys(tmp_path)) == len(set(all_keys(tmp_path)))


def wait_for_results(output_dir: Path, number: int, process: subprocess.Popen[str]) -> None:
    for _ in range(12000):
        if sum(path.read_bytes().count(b"\n") for path in output_dir.glob("*.jsonl")) >= number:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    raise AssertionError(f"{output_dir} did not get {number} lines within two minutes")
