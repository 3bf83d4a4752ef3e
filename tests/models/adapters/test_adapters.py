"""LoRA adapters as the post-trained side: made by peft, and compared with what peft itself computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from slr import cli
from slr.building.adapter import build_adapter
from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.adapters.opening import open_adapter
from slr.models.compatibility import IncompatiblePairError
from slr.models.loading import load_pair
from slr.models.presets import resolve_pair
from tests import tiny_adapters
from tests.tiny_adapters import by_peft, change_config, logits
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

INTERVALS = [LayerInterval(0, 2), LayerInterval(1, 4), LayerInterval(3, 5)]

MakeAdapter = Callable[..., tuple[Path, Path]]


@pytest.fixture
def make_adapter(tmp_path: Path) -> MakeAdapter:
    """A base checkpoint and an adapter of it, all of whose tensors are random."""
    return partial(tiny_adapters.make_adapter, tmp_path)


def close(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    torch.testing.assert_close(logits(found), logits(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen2"])
def test_the_instruct_model_is_base_plus_adapter(architecture: str, make_adapter: MakeAdapter) -> None:
    base, adapter = make_adapter(architecture)
    pair = load_pair(base, adapter=adapter)
    plain = AutoModelForCausalLM.from_pretrained(base)
    close(pair.base_model, plain)
    close(pair.instruct_model, by_peft(base, adapter))
    assert not torch.allclose(logits(pair.instruct_model), logits(pair.base_model), atol=0.1)
    assert pair.instruct_model.state_dict().keys() == plain.state_dict().keys()
    assert pair.tokenizer.chat_template == CHAT_TEMPLATE
    assert AutoTokenizer.from_pretrained(base).chat_template is None
    generation = pair.instruct_model.generation_config
    assert generation is not None
    assert generation.eos_token_id == [2, 4]
    assert any("adapter" in note for note in pair.notes)


@pytest.mark.parametrize("alpha", [1.0, 0.25])
@pytest.mark.parametrize("interval", INTERVALS, ids=str)
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_hybrid_adapter_merged_checkpoint_and_hybrid_in_memory_are_one_model(
    architecture: str, interval: LayerInterval, alpha: float, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    base, adapter = make_adapter(architecture)
    hybrid = restore(load_pair(base, adapter=adapter), interval, alpha)
    build_adapter(
        resolve_pair(base, adapter=adapter), interval, tmp_path / "hybrid", BuildOptions(alpha=alpha)
    )
    close(by_peft(base, tmp_path / "hybrid"), hybrid)
    report = build(
        resolve_pair(base, adapter=adapter), interval, tmp_path / "merged", BuildOptions(alpha=alpha)
    )
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    expected = hybrid.state_dict()
    assert merged.state_dict().keys() == expected.keys()
    for name, tensor in merged.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert report.manifest.instruct_is_adapter
    # The written adapter is input again.
    close(load_pair(base, adapter=tmp_path / "hybrid").instruct_model, hybrid)


def test_what_is_written_beside_the_weights(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    base, adapter = make_adapter()
    build(resolve_pair(base, adapter=adapter), LayerInterval(1, 3), tmp_path / "merged")
    build_adapter(resolve_pair(base, adapter=adapter), LayerInterval(1, 3), tmp_path / "hybrid")
    for output in (tmp_path / "merged", tmp_path / "hybrid"):
        assert (output / "LICENSE").read_text() == "ours"
        assert json.loads((output / "generation_config.json").read_text())["eos_token_id"] == [2, 4]
        assert f"with the adapter {adapter.name}" in (output / "README.md").read_text().replace("\n", " ")
        assert json.loads((output / "slr_manifest.json").read_text())["interval"] == [1, 3]
    assert "library_name: transformers" in (tmp_path / "merged" / "README.md").read_text()
    assert "library_name: peft" in (tmp_path / "hybrid" / "README.md").read_text()
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template == CHAT_TEMPLATE
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    tensors = load_file(tmp_path / "hybrid" / "adapter_model.safetensors")
    assert {name.split(".layers.")[1][0] for name in tensors} == {"0", "3", "4"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base", "hybrid", "merged"]


@pytest.mark.parametrize("excluded", [["k_proj", "1.mlp.up_proj"], r".*\.k_proj", None])
def test_layers_are_excluded_beside_what_was_excluded_already(
    excluded: list[str] | str | None, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    base, adapter = make_adapter(target_modules=["q_proj", "k_proj", "up_proj"], exclude_modules=excluded)
    hybrid = restore(load_pair(base, adapter=adapter), LayerInterval(1, 4))
    build_adapter(resolve_pair(base, adapter=adapter), LayerInterval(1, 4), tmp_path / "hybrid")
    loaded: Any = by_peft(base, tmp_path / "hybrid")
    close(loaded, hybrid)
    on_disk = load_file(tmp_path / "hybrid" / "adapter_model.safetensors")
    in_model = [name for name, _ in loaded.named_parameters() if ".lora_" in name]
    assert len(in_model) == len(on_disk)  # peft made no fresh adapter in a restored layer


def test_modules_trained_in_full(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    base, adapter = make_adapter(
        target_modules=["q_proj"], modules_to_save=["lm_head"], ensure_weight_tying=False
    )
    pair = load_pair(base, adapter=adapter)
    close(pair.instruct_model, by_peft(base, adapter))
    build_adapter(resolve_pair(base, adapter=adapter), LayerInterval(0, 2), tmp_path / "hybrid")
    close(by_peft(base, tmp_path / "hybrid"), restore(pair, LayerInterval(0, 2)))


def test_a_restored_layer_that_was_trained_in_full(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    base, adapter = make_adapter(target_modules=["q_proj"], modules_to_save=["up_proj"])
    with pytest.raises(ValueError, match="trained in full, not by the adapter: write the hybrid as a merged"):
        build_adapter(resolve_pair(base, adapter=adapter), LayerInterval(0, 2), tmp_path / "hybrid")
    assert not (tmp_path / "hybrid").exists()
    pair = load_pair(base, adapter=adapter)
    build(resolve_pair(base, adapter=adapter), LayerInterval(0, 2), tmp_path / "merged")
    close(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), restore(pair, LayerInterval(0, 2)))


def test_nothing_left(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    base, adapter = make_adapter()
    with pytest.raises(ValueError, match="layers 0:5 are all that the adapter changes"):
        build_adapter(resolve_pair(base, adapter=adapter), LayerInterval(0, 5), tmp_path / "hybrid")


def test_adapter_of_another_model(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    _, adapter = make_adapter()
    make_model("qwen2", num_layers=3).save_pretrained(tmp_path / "other")
    make_tokenizer().save_pretrained(tmp_path / "other")
    tensors = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight"
    save_file({**tensors, name: torch.zeros(4, 48)}, adapter / "adapter_model.safetensors")
    with pytest.raises(IncompatiblePairError) as error:
        load_pair(tmp_path / "other", adapter=adapter)
    assert "model.layers.{3,4}.mlp.down_proj.lora_A.weight: in the adapter, but the base model" in str(
        error.value
    )
    assert "q_proj.lora_A.weight: adapter (4, 48), expected (4, 32)" in str(error.value)


def test_what_is_no_usable_adapter(make_adapter: MakeAdapter) -> None:
    base, adapter = make_adapter()
    with pytest.raises(ValueError, match=r"has no adapter_config\.json: expected the directory of a PEFT"):
        open_adapter(base)
    change_config(adapter, peft_type="PROMPT_TUNING")
    with pytest.raises(ValueError, match="of type 'PROMPT_TUNING': expected LORA"):
        open_adapter(adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"adapter_config\.json of .* is not readable"):
        open_adapter(adapter)
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ValueError, match="pickle files are never read"):
        open_adapter(adapter)


def test_instruct_and_adapter_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="both an instruct model"):
        resolve_pair("a/b", "c/d", adapter="e/f")
    with pytest.raises(ValueError, match="testbed-llama has no adapter"):
        build_adapter(resolve_pair("testbed-llama"), LayerInterval(0, 1), "nowhere")


def test_an_adapter_is_never_overwritten_by_its_own_hybrid(make_adapter: MakeAdapter) -> None:
    base, adapter = make_adapter()
    for write in (
        lambda: build_adapter(
            resolve_pair(base, adapter=adapter), LayerInterval(0, 1), adapter, BuildOptions(overwrite=True)
        ),
        lambda: build(
            resolve_pair(base, adapter=adapter), LayerInterval(0, 1), adapter, BuildOptions(overwrite=True)
        ),
    ):
        with pytest.raises(ValueError, match="is not overwritten"):
            write()


@pytest.mark.usefixtures("few_prompts")
def test_commands(
    make_adapter: MakeAdapter,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, adapter = make_adapter()
    monkeypatch.chdir(tmp_path)
    shutil.copytree(adapter, tmp_path / "org" / "adapter")

    def run(*arguments: object) -> int:
        return cli.main([*map(str, arguments)])

    assert run("search", base, "--adapter", adapter, "--device", "cpu", "--output-dir", "found") == 0
    printed = capsys.readouterr().out
    # Layers or a soup, whichever is better.
    assert "none: of 15" in printed or f"slr build {base} --adapter {adapter} --" in printed
    layers = ("--layers", "1:3")
    assert run("build", base, "--adapter", "org/adapter", *layers, "--output", "merged") == 0
    assert run("build", base, "--adapter", "org/adapter", *layers, "--output", "small", "--as-adapter") == 0
    assert "an adapter with layers 1:3 of 5 restored" in capsys.readouterr().out
    close(by_peft(base, tmp_path / "small"), AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    assert run("build", base, base, *layers, "--output", "x", "--as-adapter") == 2
    assert "--as-adapter needs --adapter" in capsys.readouterr().err
    verified = ("--adapter", "org/adapter", "--as-adapter", "--verify")
    assert run("build", base, *verified, *layers, "--output", "x") == 2
    assert "--verify is for checkpoints" in capsys.readouterr().err
