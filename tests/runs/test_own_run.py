"""A run on pairs of the user's own, from its file to the experiments' sizes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from slr.downstream.study import DownstreamConfig
from slr.experiments import catalogue, open_qa, prediction, quality
from slr.models.reference import ModelReference
from slr.runs.own_run import PRESET_SIZES, Sizes, read_own_run, run_of_pair, stored_run

EXAMPLE = Path(__file__).parents[2] / "docs" / "pairs.yaml"


def written(directory: Path, content: str) -> Path:
    path = directory / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_example_of_the_docs_describes_three_pairs() -> None:
    run = read_own_run(EXAMPLE)
    mistral, olmo, lora = run.as_preset().pairs
    assert (run.name, run.preset) == ("seven-billion", "small")
    assert (mistral.name, mistral.family) == ("mistral", "mistral")
    assert (olmo.name, olmo.family) == ("OLMo-2-1124-7B-Instruct", None)
    assert olmo.instruct == ModelReference("allenai/OLMo-2-1124-7B-Instruct", "main")
    assert (lora.instruct_is_adapter, lora.instruct.location) == (True, "./my-lora")


@pytest.fixture(autouse=True)
def directories_of_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my-base", "my-lora"):
        (tmp_path / name).mkdir()


def test_a_stored_run_is_read_back_and_knows_what_was_found_out(tmp_path: Path) -> None:
    run = read_own_run(EXAMPLE)
    found = run.as_preset().pairs
    run.store(tmp_path / "out", found)
    stored = stored_run(tmp_path / "out")
    assert stored is not None
    assert stored.as_preset().pairs == found
    assert (stored.name, stored.preset, stored.experiments) == (run.name, run.preset, run.experiments)
    assert stored_run(tmp_path) is None


def test_the_file_names_the_run_and_one_pair_names_its_own(tmp_path: Path) -> None:
    assert read_own_run(written(tmp_path, "pairs: [{base: a/b, instruct: a/c}]")).name == "mine"
    assert run_of_pair("a/b", "a/c").name == "c"


def test_sizes_replace_the_presets_and_leave_the_rest() -> None:
    sizes = read_own_run(EXAMPLE).experiments
    changed, before = open_qa.experiment("small", False, sizes).config, open_qa.CONFIGS["small"]
    assert (changed.num_prompts, changed.num_samples) == (20, 64)
    for field in fields(DownstreamConfig):
        if field.name not in ("num_prompts", "num_samples"):
            assert getattr(changed, field.name) == getattr(before, field.name)
    assert quality.experiment("small", False, sizes).config.limit == 500
    assert prediction.experiment("small", False, sizes).config.num_intervals == 10


@pytest.mark.parametrize("name", Sizes.model_fields)
def test_every_size_is_a_setting_of_its_experiment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And reaches it."""
    monkeypatch.setenv("SLR_JUDGE_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("SLR_JUDGE_MODEL", "m")
    wanted = dict.fromkeys(type(getattr(PRESET_SIZES, name)).model_fields, 7)
    sizes = Sizes.model_validate({name: wanted})
    config = catalogue.chosen_experiments(name, "small", False, sizes)[-1].config
    assert {size: getattr(config, size) for size in wanted} == wanted
