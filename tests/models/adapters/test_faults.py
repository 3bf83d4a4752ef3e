"""Adapters that cannot be used: one clear line, in time, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from slr.building.adapter import build_adapter
from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.intervals import LayerInterval
from slr.models.adapters.opening import open_adapter
from slr.models.adapters.patterns import PatternMatcher
from slr.models.checkpoint import open_checkpoint
from slr.models.compatibility import IncompatiblePairError
from slr.models.loading import load_pair
from slr.models.presets import resolve_pair
from slr.models.reference import ModelReference
from tests.tiny_adapters import change_config, make_adapter, relative_difference, train
from tests.tiny_models import make_model, make_tokenizer

INTERVAL = LayerInterval(0, 1)
BACKTRACKING = r"(?=(\w+\.?)+!).*|(.|..|...)+\1!"


@pytest.fixture(scope="module")
def whole_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base model and an ordinary adapter of it."""
    return make_adapter(tmp_path_factory.mktemp("whole"), num_layers=3, target_modules=["q_proj", "v_proj"])


@pytest.fixture
def pair(whole_pair: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same, to be damaged."""
    for path in whole_pair:
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / "base", tmp_path / "adapter"


def refusal(base: Path, adapter: Path) -> str:
    """The one line that all ways to use the adapter end with; nothing is written."""
    before = sorted(path.name for path in adapter.parent.iterdir())
    ways: tuple[Callable[[], object], ...] = (
        lambda: load_pair(base, adapter=adapter),
        lambda: build(resolve_pair(base, adapter=adapter), INTERVAL, adapter.parent / "new" / "out"),
        lambda: build_adapter(
            resolve_pair(base, adapter=adapter),
            INTERVAL,
            adapter.parent / "new" / "out",
            BuildOptions(alpha=0.5),
        ),
    )
    lines = set()
    for way in ways:
        with pytest.raises(ValueError, match="e") as error:
            way()
        lines.add(str(error.value))
        assert "\n" not in str(error.value) or isinstance(error.value, IncompatiblePairError)
    assert sorted(path.name for path in adapter.parent.iterdir()) == before
    assert len(lines) == 1
    return lines.pop()


def change_tensors(adapter: Path, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
    """Replace every tensor of an adapter's file by what it is changed to; None: leave it out."""
    path = adapter / "adapter_model.safetensors"
    changed = {name: change(name, tensor) for name, tensor in load_file(path).items()}
    save_file({name: tensor.contiguous() for name, tensor in changed.items() if tensor is not None}, path)


def test_no_tensors(pair: tuple[Path, Path]) -> None:
    change_tensors(pair[1], lambda _name, _tensor: None)
    assert "has no tensors, as DeepSpeed ZeRO-3" in refusal(*pair)


def test_tensors_of_size_zero(pair: tuple[Path, Path]) -> None:
    change_tensors(pair[1], lambda name, tensor: torch.zeros(0) if "layers.1" in name else tensor)
    line = refusal(*pair)
    assert "has 4 tensors of size 0, model.layers.1.self_attn.q_proj.lora_A.weight" in line
    assert "and 1 more" in line


def test_lost_layers(pair: tuple[Path, Path]) -> None:
    change_tensors(pair[1], lambda name, tensor: None if "layers.0" not in name else tensor)
    line = refusal(*pair)
    assert "lacks tensors of 4 of the 6 modules" in line
    names = ("1.self_attn.q_proj", "1.self_attn.v_proj", "2.self_attn.q_proj")
    assert ": " + ", ".join(f"model.layers.{name}" for name in names) + " and 1 more" in line
    # What the line says to do where they were left out on purpose.
    change_config(
        pair[1], exclude_modules=[f"layers.{n}.self_attn.{p}" for n in (1, 2) for p in ("q_proj", "v_proj")]
    )
    load_pair(pair[0], adapter=pair[1])


def test_a_lost_half(pair: tuple[Path, Path]) -> None:
    change_tensors(
        pair[1], lambda name, tensor: None if name.endswith("2.self_attn.v_proj.lora_B.weight") else tensor
    )
    assert "lacks tensors of 1 of the 6 modules" in refusal(*pair)


def test_lost_tokens_and_modules(tmp_path: Path) -> None:
    options: dict[str, Any] = {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    pair = make_adapter(tmp_path, num_layers=3, trainable_token_indices=[3], **options)
    change_tensors(pair[1], lambda name, tensor: tensor if ".lora_" in name else None)
    line = refusal(*pair)
    assert "lacks tensors of 2 of the 5 modules" in line
    assert "lm_head" in line
    assert "model.embed_tokens" in line


def test_modules_that_the_base_model_lacks(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "adapter_model.safetensors"
    extra = "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"
    save_file({**load_file(path), extra: torch.zeros(4, 32)}, path)
    assert "layers.7.self_attn.q_proj.lora_A.weight: in the adapter, but the base model has no" in refusal(
        *pair
    )


@pytest.mark.parametrize("fields", [{"r": 8}, {"rank_pattern": {"v_proj": 2}}])
def test_another_rank(fields: dict[str, object], pair: tuple[Path, Path]) -> None:
    change_config(pair[1], **fields)
    line = refusal(*pair)
    assert "modules of another rank than r and rank_pattern" in line
    assert f"with 4 in place of {8 if 'r' in fields else 2}" in line


def test_numbers_that_are_not_finite(pair: tuple[Path, Path]) -> None:
    change_tensors(
        pair[1], lambda name, tensor: tensor * float("nan") if "2.self_attn.q_proj" in name else tensor
    )
    base, adapter = pair
    with pytest.raises(ValueError, match="holds NaN or infinity in 2 tensors"):
        load_pair(base, adapter=adapter)
    with pytest.raises(ValueError, match="holds NaN or infinity in 2 tensors"):
        build(resolve_pair(base, adapter=adapter), INTERVAL, adapter.parent / "out")
    assert sorted(path.name for path in adapter.parent.iterdir()) == ["adapter", "base"]


def test_an_adapter_that_was_never_trained_is_noted(pair: tuple[Path, Path]) -> None:
    base, adapter = pair
    assert not any("changes nothing" in note for note in load_pair(base, adapter=adapter).notes)
    change_tensors(
        adapter, lambda name, tensor: tensor * 0 if ".lora_B" in name and "layers.1" in name else tensor
    )
    assert not any("changes nothing" in note for note in load_pair(base, adapter=adapter).notes)
    change_tensors(adapter, lambda name, tensor: tensor * 0 if ".lora_B" in name else tensor)
    assert any("changes nothing" in note for note in load_pair(base, adapter=adapter).notes)


def test_whole_numbers(pair: tuple[Path, Path]) -> None:
    change_tensors(pair[1], lambda _name, tensor: tensor.to(torch.int8))
    assert "12 tensors that are no floating-point numbers" in refusal(*pair)


@pytest.mark.parametrize("content", ["[]", "{", "5"])
def test_generation_settings_that_cannot_be_read(content: str, pair: tuple[Path, Path]) -> None:
    base, adapter = pair
    (adapter / "generation_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"^generation_config\.json of .* is not valid: [^\n]+$"):
        build(resolve_pair(base, adapter=adapter), INTERVAL, adapter.parent / "out")
    assert sorted(path.name for path in adapter.parent.iterdir()) == ["adapter", "base"]


def test_truncated_file(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    assert "adapter_model.safetensors of" in (line := refusal(*pair))
    assert "truncated" in line


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("r", 0), ("r", "4"), ("r", 4.5), ("r", True), ("r", None), ("r", [4]), ("r", 10**30),
        ("lora_alpha", "6"), ("lora_alpha", float("nan")), ("lora_alpha", float("inf")), ("lora_alpha", -1),
        ("target_modules", [1, 2]), ("target_modules", 3), ("target_modules", {"q_proj": 1}), ("target_modules", [""]),
        ("target_modules", "q_proj)"),
        ("target_modules", "(?P<a"), ("target_modules", "a{99999999999}"), ("target_modules", "(" * 9000),
        ("target_modules", "x" * 30000), ("target_modules", "nothing_of_that_name"), ("target_modules", []),
        ("target_modules", ["nothing_of_that_name"]), ("target_modules", ".*self_attn"),
        ("exclude_modules", 5), ("exclude_modules", BACKTRACKING), ("exclude_modules", "[" ), ("exclude_modules", ".*"),
        ("rank_pattern", {"q_proj": "4"}), ("rank_pattern", {"q_proj": 0}), ("rank_pattern", {BACKTRACKING: 4}),
        ("rank_pattern", {"(": 4}), ("rank_pattern", [4]), ("alpha_pattern", {"q_proj": None}),
        ("alpha_pattern", {BACKTRACKING: 4}),
        ("modules_to_save", ["(a+)+$"]), ("modules_to_save", [3]),
        ("layers_to_transform", "1"), ("layers_to_transform", [-1]), ("layers_to_transform", 1.5),
        ("layers_pattern", ["(.*)*x"]), ("target_parameters", "weight"), ("target_parameters", [1]),
        ("trainable_token_indices", [9999]), ("trainable_token_indices", ["a"]), ("trainable_token_indices", [-1]),
        ("trainable_token_indices", {"embed_tokens": 3}), ("trainable_token_indices", []),
        ("bias", 1), ("use_rslora", "yes"), ("use_dora", 1), ("lora_bias", "no"),
        ("init_lora_weights", 3), ("init_lora_weights", {}), ("task_type", "SEQ_CLS"),
        ("base_model_name_or_path", 5), ("revision", 3), ("ensure_weight_tying", None), ("fan_in_fan_out", []),
        ("layer_replication", 5),
        ("arrow_config", {"top_k": 2}), ("kasa_config", {}  | {"beta": 1}), ("use_bdlora", True),
        ("peft_type", "LoRA"), ("peft_type", None), ("peft_type", ["LORA"]),
    ],
)  # fmt: skip
def test_a_field_of_another_kind(field: str, value: object, pair: tuple[Path, Path]) -> None:
    change_config(pair[1], **{field: value})
    began = time.monotonic()
    with pytest.raises(ValueError, match="e") as error:
        build(resolve_pair(pair[0], adapter=pair[1]), INTERVAL, pair[1].parent / "out")
    assert time.monotonic() - began < 20
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 700
    assert field in line
    assert "adapter_config.json" in line
    assert sorted(path.name for path in pair[1].parent.iterdir()) == ["adapter", "base"]


@pytest.mark.parametrize("field", ["peft_type", "r", "lora_alpha", "target_modules"])
def test_a_field_that_is_missing(field: str, pair: tuple[Path, Path]) -> None:
    path = pair[1] / "adapter_config.json"
    fields = json.loads(path.read_text())
    del fields[field]
    path.write_text(json.dumps(fields))
    line = refusal(*pair)
    assert field in line
    assert "adapter_config.json" in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'"LORA"', "expected a JSON object, found str"),
        (b"null", "expected a JSON object"),
        (b"{", "is not readable"),
        (b"", "is not readable"),
        (b'{"peft_type": "LORA", "r": "\xff"}', "it is not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "it is nested too deeply"),
        (b'{"loftq_config":' * 100_000 + b"1" + b"}" * 100_000, "it is nested too deeply"),
        (b'{"r": ' + b"9" * 5000 + b"}", "is not readable"),
        (b" " * 10_000_001, "is larger than 10 MB"),
    ],
)
def test_a_file_that_is_no_configuration(content: bytes, says: str, pair: tuple[Path, Path]) -> None:
    (pair[1] / "adapter_config.json").write_bytes(content)
    line = refusal(*pair)
    assert says in line
    assert "adapter_config.json" in line


def test_a_pipe_is_not_read(pair: tuple[Path, Path]) -> None:
    (pair[1] / "adapter_config.json").unlink()
    os.mkfifo(pair[1] / "adapter_config.json")
    line = refusal(*pair)
    assert "adapter_config.json of the adapter" in line
    assert "is a pipe: expected a regular file" in line


def test_adapters_under_other_names_are_found(pair: tuple[Path, Path]) -> None:
    named = pair[1] / "second"
    named.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (pair[1] / name).rename(named / name)
    assert f"such as its directory {named}" in refusal(*pair)
    (named / "chat_template.jinja").write_bytes((pair[1] / "chat_template.jinja").read_bytes())
    load_pair(pair[0], adapter=named)


def test_deep_values_are_no_matter(pair: tuple[Path, Path]) -> None:
    value: object = 1
    for _ in range(200):
        value = {"a": value}
    change_config(pair[1], r=value)
    assert "r in adapter_config.json" in refusal(*pair)


def test_the_time_of_all_patterns_together_is_bounded() -> None:
    names = [f"model.layers.{layer}.self_attn.q_proj" for layer in range(40)]
    matcher = PatternMatcher(seconds=0.5)
    began = time.monotonic()
    with pytest.raises(ValueError, match="takes too long to match: write the names"):
        matcher.full_matches(BACKTRACKING, names)
    with pytest.raises(ValueError, match="takes too long"):
        matcher.full_matches("q_proj", names)
    assert time.monotonic() - began < 5


def test_another_base_model_is_noted(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, adapter = pair
    opened = open_checkpoint(base)

    def notes(named: str, where: str = str(base)) -> tuple[str, ...]:
        change_config(adapter, base_model_name_or_path=named)
        return open_adapter(adapter).notes(replace(opened, reference=ModelReference(where)))

    for named in (str(base), "somewhere/else/base", "org/Base", "/hub/models--org--base/snapshots/0123", ""):
        assert notes(named) == (), named
    assert notes("org/model", "org/model") == ()
    (tmp_path / "elsewhere" / "base").mkdir(parents=True)
    for named in ("org/other", str(tmp_path / "elsewhere" / "base"), "x" * 3000, "~nosuchuser/x", "a\0b"):
        (note,) = notes(named)
        assert "was made for" in note
        assert "\n" not in note
    assert notes("org/model", "organisation/model") != ()
    change_config(adapter, base_model_name_or_path="org/other")
    assert any("was made for 'org/other'" in note for note in load_pair(base, adapter=adapter).notes)
    report = build(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "merged")
    assert any("was made for 'org/other'" in note for note in report.notes)
    manifest = build_adapter(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "small")
    assert any("was made for 'org/other'" in note for note in manifest.notes)


def test_another_commit_of_the_base_model(pair: tuple[Path, Path]) -> None:
    base, adapter = pair
    change_config(adapter, base_model_name_or_path="org/model", revision="a" * 40)
    opened = open_checkpoint(base)
    adapter_ = open_adapter(adapter)
    with pytest.raises(ValueError, match=f"made for commit {'a' * 40} of org/model.*give --base-revision a"):
        adapter_.applied_to(replace(opened, reference=ModelReference("org/model", "b" * 40)))
    adapter_.applied_to(replace(opened, reference=ModelReference("org/model", "a" * 40)))
    change_config(adapter, revision="main")
    open_adapter(adapter).applied_to(replace(opened, reference=ModelReference("org/model", "b" * 40)))


def test_shapes_of_another_base_model(pair: tuple[Path, Path], tmp_path: Path) -> None:
    change_config(pair[1], base_model_name_or_path="org/other")
    model = make_model("llama", num_layers=3, seed=3)
    fields: dict[str, Any] = {**model.config.to_dict(), "hidden_size": 64, "head_dim": 8}
    wider = type(model)(type(model.config)(**fields))
    wider.save_pretrained(tmp_path / "wider")
    make_tokenizer().save_pretrained(tmp_path / "wider")
    line = refusal(tmp_path / "wider", pair[1])
    assert "adapter (4, 32), expected (4, 64) for the base model" in line
    assert "adapter_config.json of the adapter names 'org/other'" in line


def test_fields_that_are_not_known(pair: tuple[Path, Path]) -> None:
    change_config(pair[1], use_something_new=True, something_else=None)
    (note,) = (note for note in load_pair(pair[0], adapter=pair[1]).notes if "ignored" in note)
    assert "use_something_new" in note
    assert "something_else" not in note


def test_libraries_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"target_modules": ["q_proj", "embed_tokens"], "fan_in_fan_out": True}
    base, adapter = make_adapter(tmp_path, num_layers=3, tied=False, **options)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        load_pair(base, adapter=adapter)
        build(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "merged")
        build_adapter(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "small")
    assert [str(warning.message) for warning in shown] == []
    assert capfd.readouterr() == ("", "")


def test_biases_that_the_base_model_has_no_place_for(tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, num_layers=3, target_modules=["q_proj"], lora_bias=True)
    line = refusal(*pair)
    assert "lora_bias in adapter_config.json) for 3 modules" in line
    assert "model.layers.0.self_attn.q_proj" in line


@pytest.mark.parametrize(
    "options", [{}, {"trainable_token_indices": [3]}, {"modules_to_save": ["embed_tokens"]}]
)
def test_a_vocabulary_that_was_extended(options: dict[str, Any], tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3, tied=False)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(340)
    model.save_pretrained(tmp_path / "resized")
    tuned = train(tmp_path / "resized", target_modules=["q_proj"], **options)
    tuned.save_pretrained(str(adapter), save_embedding_layers=True)
    line = refusal(base, adapter)
    assert "adapter (340, 32), expected (336, 32) for the base model (resize that to 340 tokens" in line
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(340)
    model.save_pretrained(tmp_path / "as_advised")
    make_tokenizer().save_pretrained(tmp_path / "as_advised")
    pair = load_pair(tmp_path / "as_advised", adapter=adapter)
    assert relative_difference(pair.instruct_model, tuned) < 1e-5


def test_many_and_odd_names(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "adapter_model.safetensors"
    odd = {
        f"base_model.model.odd_{number}.\x1b[31m\n.lora_A.weight": torch.zeros(4, 32) for number in range(50)
    }
    save_file({**load_file(path), **odd}, path)
    line = refusal(*pair)
    assert "\x1b" not in line
    assert "and 30 more lines like these" in line


def test_warnings_come_back_afterwards(pair: tuple[Path, Path]) -> None:
    load_pair(pair[0], adapter=pair[1])
    with pytest.warns(UserWarning, match="still shown"):
        warnings.warn("still shown", stacklevel=1)
