"""Speeds of devices: the known ones, and the ones that ``slr calibrate`` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from slr.cli import main
from slr.costs import calibration
from slr.costs.calibration import calibrate
from slr.costs.random_pairs import load_testbed_tokenizer, random_model
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts
from slr.runs.experiment import Cost
from slr.runs.speed import KNOWN_SPEEDS, DeviceSpeed, device_speed, keep_speed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory that is not there yet."""
    monkeypatch.setenv("SLR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_measured_speed_replaces_the_known_one_of_its_kind(cache: Path) -> None:
    assert device_speed("cpu") == KNOWN_SPEEDS["cpu"] == device_speed("mps")
    measured = DeviceSpeed(forward=4e9, sampling=1e9, origin="measured")
    keep_speed("cpu", measured)
    assert device_speed("cpu") == measured
    assert device_speed("cuda") == KNOWN_SPEEDS["cuda"]
    half = Cost(layer_evaluations=1, tokens=1, flops=4e9, sampled_share=0.5)
    assert device_speed("cpu").seconds(half) == pytest.approx(0.5 + 2)
    (cache / "speed-cpu.json").write_text("{}")  # of another version
    assert device_speed("cpu") == KNOWN_SPEEDS["cpu"]


def test_calibrate_measures_and_a_dry_run_uses_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(calibration.ROWS, "cpu", 4)
    monkeypatch.setitem(calibration.NEW_TOKENS, "cpu", 2)
    monkeypatch.setattr(calibration, "CPU_SHAPE", calibration.CPU_SHAPE.__class__(**SMALL))
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    assert main(["calibrate", "--device", "cpu"]) == 0
    assert "measured on CPU" in capsys.readouterr().out
    speed = device_speed("cpu")
    assert 0 < speed.sampling < speed.forward * 10
    assert main(["run", "crc_search", "--dry-run", "--output-dir", str(tmp_path)]) == 0
    assert "measured on CPU" in " ".join(capsys.readouterr().out.split())


def test_the_flop_are_2_a_parameter_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on when it is read makes a step of two seconds of it."""
    monkeypatch.setitem(calibration.ROWS, "cpu", 4)
    monkeypatch.setitem(calibration.NEW_TOKENS, "cpu", 2)
    monkeypatch.setattr(calibration, "CPU_SHAPE", calibration.CPU_SHAPE.__class__(**SMALL))
    times = iter(range(100))
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: float(next(times)))
    speed = calibrate("cpu", seconds=0.0)
    model = random_model(calibration.CPU_SHAPE, "cpu", torch.float32, 0)
    in_layers = sum(weights.numel() for name, weights in model.named_parameters() if ".layers." in name)
    prompts = encode_prompts(load_prompts("selection"), load_testbed_tokenizer()).token_ids
    beginnings = {tuple(ids[: end + 1]) for ids in prompts for end in range(len(ids))}
    assert speed.forward == 2 * in_layers * len(beginnings) / 2
    assert speed.sampling == 2 * model.num_parameters() * 4 * 2 / 2


SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 2048,
}
