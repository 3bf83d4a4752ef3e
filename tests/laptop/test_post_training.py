"""All stages on tiny random models, and a killed training that goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from slr.laptop.card import main as write_card_of
from slr.laptop.post_training.__main__ import main
from slr.laptop.post_training.final import ADAPTER_FILE
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.stages import post_train
from slr.models.compressed_layers import decompress
from slr.models.packaged import LAYERS_FILE
from tests.laptop.tiny_training import RECIPE, tiny_prompts, tiny_start_model, train, with_tiny_models


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with_tiny_models(monkeypatch)


def train_in_a_process(output_dir: Path, file: str = "", count: int = 0) -> int | None:
    """Train, and give the exit status. The processes are forks of one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.laptop.tiny_training"])
    process = context.Process(target=train, args=[[str(output_dir), *([file, str(count)] if file else [])]])
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final directory of a training that nothing stopped."""
    directory = tmp_path_factory.mktemp("uninterrupted")
    assert train_in_a_process(directory) == 0
    (final,) = directory.glob("**/final")
    return final


@pytest.fixture
def trained(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of all that this training wrote, to go on in."""
    return Path(shutil.copytree(uninterrupted.parents[4], tmp_path / "trained"))


@pytest.mark.usefixtures("tiny_models")
def test_an_adapter_that_changes_the_model_and_a_report_of_all_rounds(tmp_path: Path) -> None:
    final = post_train(replace(RECIPE, model="gemma"), tmp_path, tiny_prompts())
    assert final == tmp_path / "gemma" / "seed-0" / "lora" / "lambda-1" / "final"
    names = {
        "adapter_config.json",
        ADAPTER_FILE,
        "chat_template.jinja",
        "generation_config.json",
        "training.json",
    }
    assert {path.name for path in final.iterdir()} == names
    assert {tensor.dtype for tensor in load_file(final / ADAPTER_FILE).values()} == {torch.bfloat16}
    assert (
        json.loads((final / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "laptop:gemma/base"
    )
    tuned: Any = PeftModel.from_pretrained(tiny_start_model("gemma").model, final)
    tokens = torch.tensor([[5, 9, 40]])
    assert not torch.allclose(tiny_start_model("gemma").model(tokens).logits, tuned(tokens).logits)


def test_the_report_says_what_was_measured_and_why_it_stopped(uninterrupted: Path) -> None:
    report = json.loads((uninterrupted / "training.json").read_text())
    digest = hashlib.sha256((uninterrupted / ADAPTER_FILE).read_bytes()).hexdigest()
    assert report["weights"]["sha256"] == digest
    assert [row["round"] for row in report["rounds"]] == [1, 2]
    assert report["verdict"]["rounds"] == 2
    assert report["verdict"]["criterion_met"] == (not report["rounds"][-1]["dev"]["unmet"])
    assert report["few_shot_base"]["acceptance"] == 1
    assert report["sft"]["dev"]["kl_to_sft"] == 0
    assert report["sft"]["optimisation"]["steps"] == 24 // 4
    first = report["rounds"][0]
    assert first["reward"]["chosen_typicality"] > first["reward"]["rejected_typicality"]
    assert first["optimisation"]["first_dpo_loss"] == pytest.approx(0.693, abs=0.02)


def test_the_card_tells_of_every_stage(trained: Path) -> None:
    (final,) = trained.glob("**/final")
    assert write_card_of([str(final)]) == 0
    card = (final.parent / "README.md").read_text()
    assert "## SmolLM2-135M-Instruct, lora, lambda 1, seed 0" in card
    assert hashlib.sha256((final / ADAPTER_FILE).read_bytes()).hexdigest() in card
    assert [line.split(" | ")[0] for line in card.splitlines() if line.startswith("| ")][2:] == [
        "| supervised",
        "| round 1",
        "| round 2",
    ]


@pytest.mark.usefixtures("tiny_models")
def test_the_full_variant_trains_the_decoder_layers_and_nothing_else(tmp_path: Path) -> None:
    final = post_train(replace(RECIPE, variant="full"), tmp_path, tiny_prompts())
    start = tiny_start_model("smollm2").model.state_dict()
    layers = decompress(load_file(final / LAYERS_FILE), start)
    assert layers.keys() == {name for name in start if ".layers." in name}
    assert any(not torch.equal(tensor, start[name]) for name, tensor in layers.items())
    report = json.loads((final / "training.json").read_text())
    assert report["shipped"]["dev"].keys() == report["rounds"][-1]["dev"].keys()


@pytest.mark.usefixtures("tiny_models")
def test_lambdas_share_what_comes_before_the_rounds(trained: Path) -> None:
    sft = trained / "smollm2" / "seed-0" / "lora" / "sft" / "weights.safetensors"
    written = sft.stat().st_mtime_ns
    other = post_train(replace(RECIPE, typicality_weight=0.5), trained, tiny_prompts())
    assert other.parent.name == "lambda-0.5"
    assert sft.stat().st_mtime_ns == written


@pytest.mark.usefixtures("tiny_models")
def test_files_of_another_recipe_are_refused(trained: Path) -> None:
    with pytest.raises(
        ValueError, match="was made with another max_exchanges, sft_batch: give another --output-dir"
    ):
        post_train(replace(RECIPE, sft_batch=8, max_exchanges=9), trained, tiny_prompts())


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("sft/state.pt", 4),
        ("round-1/samples/0001.json", 1),
        ("round-1/state.pt", 2),
        ("round-2/round.json", 1),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bytes(
    file: str, count: int, uninterrupted: Path, tmp_path: Path
) -> None:
    assert train_in_a_process(tmp_path, file, count) == -signal.SIGKILL
    assert not list(tmp_path.glob("**/training.json"))
    assert train_in_a_process(tmp_path) == 0
    (found,) = tmp_path.glob("**/final")
    assert (found / ADAPTER_FILE).read_bytes() == (uninterrupted / ADAPTER_FILE).read_bytes()
    assert not list(tmp_path.glob("**/*.unfinished"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "gemma", "--variant", "full"], "the full variant is made of smollm2 only"),
        (["--model", "smollm2", "--lambda", "-1"], "lambda is -1.0, expected a number from 0 to 1"),
    ],
)
def test_what_cannot_be_trained_is_one_message(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--output-dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_learning_rates_are_those_of_the_variant() -> None:
    assert Recipe(model="smollm2", variant="full").fields()["learning_rate"] == 1e-4
    assert Recipe(model="smollm2").fields()["learning_rate"] == 2e-4
