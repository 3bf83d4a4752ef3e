"""The measurement in its smallest size; and that it would notice another tensor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from experiments import build_cost
from slr.costs.build_cost import compare
from slr.costs.process_cost import run_measured
from slr.runs.records import BuildCost
from slr.runs.results_store import ResultsStore

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.mark.long
def test_prints_and_records_all_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--smoke", "--repetitions", "1", "--work-dir", str(tmp_path), "--output-dir", str(tmp_path)]
    assert build_cost.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "mergekit is left out" in printed
    records = ResultsStore(tmp_path / "build_cost.jsonl").read()
    assert all(isinstance(record, BuildCost) for record in records)
    costs = {record.method: record for record in records if isinstance(record, BuildCost)}
    assert list(costs) == ["cp -r", "slr build", "slr build --alpha 0.5"]
    for name, cost in costs.items():
        assert f"\n{name} " in printed
        assert 0 <= cost.writing_seconds <= cost.seconds <= cost.seconds_synced
    assert costs["slr build"].imports_memory_bytes > 50e6 > costs["cp -r"].peak_memory_bytes
    assert len(list((tmp_path / "instruct").glob("*.safetensors"))) > 1

    assert "are equal bit for bit" in compare(tmp_path / "copy", tmp_path / "instruct")
    assert "tensors differ" in compare(tmp_path / "slr", tmp_path / "instruct")
    shard = sorted((tmp_path / "copy").glob("*.safetensors"))[0]
    tensors = load_file(shard)
    tensors["lm_head.weight"] = next(iter(tensors.values())).clone()
    save_file(tensors, shard)
    assert (
        compare(tmp_path / "copy", tmp_path / "slr")
        == "tensors in only one of the checkpoints: lm_head.weight"
    )


def test_says_that_mergekit_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_cost.main(["--smoke", "--work-dir", str(tmp_path), "--mergekit", "/no/such-program"]) == 2
    assert "/no/such-program" in capsys.readouterr().err


def test_memory_of_a_process_is_its_own() -> None:
    hungry = "import time; data = bytearray(300_000_000); time.sleep(0.3); print(len(data))"
    cost = run_measured([sys.executable, "-c", hungry])
    assert 300e6 < cost.peak_memory_bytes < 400e6
    assert cost.output == "300000000\n"
    with pytest.raises(RuntimeError, match=r"status 1: .*no-such-file"):
        run_measured(["cat", "no-such-file"])
