"""Checkpoints that link to a pair's files, read back by transformers, which takes the last of equal names as vLLM does.

``test_installed_vllm`` reads such checkpoints with vLLM itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, PreTrainedModel

from slr.hybrid import interpolate, restore
from slr.intervals import LayerInterval
from slr.models.layout import auto_class
from slr.models.loading import ModelPair, load_spec
from slr.models.opened_pair import OpenedPair, open_pair
from slr.models.presets import resolve_pair
from slr.models.safetensors_index import INDEX_FILE, read_shard_header
from slr.sampling.linked_checkpoint import WRITTEN_FILE, write_linked_checkpoint
from tests.odd_formats import make_pair
from tests.second_process import second_process
from tests.tiny_adapters import make_adapter
from tests.tiny_models import make_checkpoint_pair

MADE: dict[str, Callable[[ModelPair], PreTrainedModel]] = {
    "base": lambda pair: pair.base_model,
    "instruct": lambda pair: pair.instruct_model,
    "hybrid": lambda pair: restore(pair, LayerInterval(1, 3)),
    "all layers": lambda pair: restore(pair, LayerInterval(0, pair.num_layers)),
    "half restored": lambda pair: restore(pair, LayerInterval(1, 3), 0.5),
    "components": lambda pair: restore(pair, LayerInterval(0, 2), components=["attention"]),
    "soup": lambda pair: interpolate(pair, 0.3),
}
PAIRS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    "one file": lambda path: make_checkpoint_pair(path, "llama"),
    "many files": lambda path: make_checkpoint_pair(
        path, "llama", base_shard_size="30KB", instruct_shard_size="50KB"
    ),
    "tied head": lambda path: make_checkpoint_pair(path, "gemma3", base_shard_size="30KB"),
    "16 bits": lambda path: make_checkpoint_pair(path, "qwen3", dtype=torch.bfloat16),
    "experts": lambda path: make_pair(path, "qwen3_moe", shard="30KB"),
    "experts in transformers' format": lambda path: make_pair(path, "mixtral", converted=(False, False)),
    "images": lambda path: make_pair(path, "gemma3", shard="30KB"),
}


def opened_and_loaded(
    base: Path, instruct: Path, adapter: Path | None = None
) -> tuple[OpenedPair, ModelPair]:
    spec = resolve_pair(base, instruct) if adapter is None else resolve_pair(base, adapter=adapter)
    return open_pair(spec).with_local_weights(), load_spec(spec, dtype=torch.float32)


def written_names(directory: Path) -> set[str]:
    path = directory / WRITTEN_FILE
    return set(read_shard_header(path).tensors) if path.exists() else set()


def linked_files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_symlink()}


def read_back(directory: Path) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(directory)
    return auto_class(config).from_pretrained(directory, dtype=torch.float32)


def assert_same(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    tensors = expected.state_dict()
    assert found.state_dict().keys() == tensors.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.parametrize("kind", PAIRS)
def test_what_is_read_back_is_the_model(kind: str, tmp_path: Path) -> None:
    opened, pair = opened_and_loaded(*PAIRS[kind](tmp_path))
    for name, make in MADE.items():
        directory = tmp_path / f"made {name}"
        directory.mkdir()
        write_linked_checkpoint(make(pair), pair, opened, directory)
        assert_same(read_back(directory), make(pair))


def test_every_process_writes_what_it_samples_from(tmp_path: Path) -> None:
    opened, pair = opened_and_loaded(*PAIRS["one file"](tmp_path))
    hybrid = MADE["hybrid"](pair)
    out = tmp_path / "out"
    out.mkdir()
    with second_process():
        write_linked_checkpoint(hybrid, pair, opened, out)
    assert_same(read_back(out), hybrid)


@pytest.mark.parametrize("name", ["base", "instruct"])
def test_nothing_is_written_of_the_pairs_own_models(name: str, tmp_path: Path) -> None:
    opened, pair = opened_and_loaded(*PAIRS["many files"](tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    write_linked_checkpoint(MADE[name](pair), pair, opened, out)
    assert written_names(out) == set()
    sources = {path.resolve() for path in (tmp_path / name).glob("*.safetensors")}
    assert {path.resolve() for path in out.glob("*.safetensors")} == sources


@pytest.mark.parametrize(
    ("made", "written_layers", "linked"), [("hybrid", (1, 2), "0"), ("all layers", (None,), "1")]
)
def test_of_a_hybrid_the_smaller_part_is_written_and_the_file_with_the_larger_one_is_linked(
    tmp_path: Path, made: str, written_layers: tuple[int | None, ...], linked: str
) -> None:
    opened, pair = opened_and_loaded(*PAIRS["one file"](tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    write_linked_checkpoint(MADE[made](pair), pair, opened, out)
    written = {
        name for name in opened.instruct.index.tensors if opened.instruct.layer_of(name) in written_layers
    }
    assert written_names(out) == written
    assert linked_files(out) == {f"{linked}-model.safetensors"}


def test_half_restored_layers_are_written_and_no_others(tmp_path: Path) -> None:
    opened, pair = opened_and_loaded(*PAIRS["many files"](tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    write_linked_checkpoint(MADE["half restored"](pair), pair, opened, out)
    assert {opened.instruct.layer_of(name) for name in written_names(out)} == {1, 2}


def test_of_an_adapters_pair_the_adapted_tensors_are_written(tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path)
    opened, pair = opened_and_loaded(base, base, adapter)
    layers: dict[str, set[int | None]] = {}
    for name in ("base", "instruct", "hybrid"):
        out = tmp_path / f"{name} of adapter"
        out.mkdir()
        write_linked_checkpoint(MADE[name](pair), pair, opened, out)
        assert_same(read_back(out), MADE[name](pair))
        layers[name] = {opened.base.layer_of(tensor) for tensor in written_names(out)}
    assert layers == {"base": set(), "instruct": {0, 1, 2, 3, 4}, "hybrid": {0, 3, 4}}


def test_the_whole_model_is_written_where_its_files_have_other_names(tmp_path: Path) -> None:
    paths = PAIRS["tied head"](tmp_path)
    for path in paths:
        for shard in path.glob("*.safetensors"):
            tensors = {name.removeprefix("model."): tensor for name, tensor in load_file(shard).items()}
            save_file(tensors, shard, metadata={"format": "pt"})
        if (index := path / INDEX_FILE).exists():
            index.write_text(index.read_text().replace('"model.', '"'))
    opened, pair = opened_and_loaded(*paths)
    out = tmp_path / "out"
    out.mkdir()
    write_linked_checkpoint(MADE["hybrid"](pair), pair, opened, out)
    assert linked_files(out) == set()
    assert_same(read_back(out), MADE["hybrid"](pair))


def test_the_configuration_is_the_files_own_and_names_the_architecture(tmp_path: Path) -> None:
    base, instruct = PAIRS["one file"](tmp_path)
    fields = json.loads((instruct / "config.json").read_text())
    del fields["architectures"]
    (instruct / "config.json").write_text(json.dumps(fields | {"of": "instruct"}))
    opened, pair = opened_and_loaded(base, instruct)
    out = tmp_path / "out"
    out.mkdir()
    write_linked_checkpoint(MADE["hybrid"](pair), pair, opened, out)
    assert json.loads((out / "config.json").read_text()) == fields | {
        "of": "instruct",
        "architectures": ["LlamaForCausalLM"],
    }
