from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from slr.cli import main
from slr.crc.study import SMOKE, crc_experiment
from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.models.presets import find_pair
from slr.runs.engine_choice import choose_engine
from slr.runs.experiment import RunSettings, store_of
from slr.runs.modes import Engine
from slr.runs.records import Configuration
from slr.runs.results import RecordsByKey

SEARCH = crc_experiment(SMOKE)
ASKING = downstream_experiment(
    "asking",
    "?",
    DownstreamConfig(
        task="open_qa", source="testbed", methods=BASELINES, num_prompts=1, num_samples=2, max_new_tokens=2
    ),
    SMOKE,
)


@pytest.fixture(autouse=True)
def vllm_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(device_type="cuda")  # pyright: ignore[reportAttributeAccessIssue]
    module = ModuleType("vllm")
    module.platforms = platforms  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)


def record_by(engine: Engine, settings: RunSettings) -> None:
    """Leave the configuration that a run with this engine puts before its first samples."""
    spec = find_pair("testbed-llama")
    store = store_of(SEARCH, settings.output_dir)
    search = RecordsByKey((record.key, record) for record in store.read())
    asked = dataclasses.replace(settings, engine=engine)
    store_of(ASKING, settings.output_dir).append([asked.configuration(ASKING, spec, search)])


def test_vllm_is_taken_on_a_gpu(tmp_path: Path) -> None:
    engine, reason = choose_engine([SEARCH, ASKING], tmp_path, "cuda:1", is_for_cpu=False)
    assert engine == "vllm"
    assert "computes on cuda:1" in reason


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_run_keeps_the_engine_of_its_records(
    engine: Engine, device: str, settings_after_search: RunSettings
) -> None:
    record_by(engine, settings_after_search)
    chosen, reason = choose_engine(
        [SEARCH, ASKING], settings_after_search.output_dir, device, is_for_cpu=False
    )
    assert chosen == engine
    assert "the records in" in reason


def test_records_of_a_search_say_nothing_of_the_engine(settings_after_search: RunSettings) -> None:
    directory = settings_after_search.output_dir
    assert any(isinstance(record, Configuration) for record in store_of(SEARCH, directory).read())
    assert choose_engine([SEARCH, ASKING], directory, "cuda", is_for_cpu=False)[0] == "vllm"


def test_elsewhere_transformers_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device, is_for_cpu, device_map, reason in (
        ("cpu", False, None, "worth its start on a GPU only"),
        ("cuda", True, None, "long to start"),
        ("cuda", False, "auto", "the device map spreads the models"),
    ):
        engine, found = choose_engine(
            [ASKING], tmp_path, device, is_for_cpu=is_for_cpu, device_map=device_map
        )
        assert engine == "transformers"
        assert reason in found
    engine, reason = choose_engine([ASKING], tmp_path, "cuda", is_for_cpu=False, num_sharing=2)
    assert (engine, "given to 2 processes" in reason) == ("transformers", True)
    monkeypatch.setattr("vllm.platforms.current_platform.device_type", "cpu")
    assert choose_engine([ASKING], tmp_path, "cuda", is_for_cpu=False) == (
        "transformers",
        "the device is cuda, and the installed vLLM computes on cpu",
    )
    monkeypatch.setitem(sys.modules, "vllm", None)
    engine, reason = choose_engine([ASKING], tmp_path, "cuda", is_for_cpu=False)
    assert engine == "transformers"
    assert reason.startswith("vLLM cannot be imported")


def test_the_choice_and_its_reason_are_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", "crc_search", "--smoke", "--families", "llama", "--wandb", "disabled"]
    assert main([*arguments, "--engine", "auto", "--output-dir", str(out)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("engine:")]
    assert said == ["engine: transformers, because vLLM takes long to start for such small models"]
