"""Damaged, foreign and hostile files in a checkpoint's directory: one clear line each, soon, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from slr import cli
from slr.building.checkpoint import build
from slr.files.untrusted import parse_json_object, read_json_object
from slr.intervals import LayerInterval
from slr.models.checkpoint import open_checkpoint, with_local_weights
from slr.models.presets import resolve_pair
from slr.models.safetensors_index import parse_header
from tests.conftest import CheckpointPairs
from tests.odd_formats import make_pair

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def pair(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> tuple[Path, Path]:
    for path in checkpoint_pairs("llama", instruct_shard_size="40KB"):
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / "base", tmp_path / "instruct"


def refused(directory: Path) -> str:
    """The one line that opening the directory ends with, within seconds."""
    began = time.monotonic()
    with pytest.raises((ValueError, OSError)) as caught:
        with_local_weights(open_checkpoint(directory))
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert "\n" not in message
    assert directory.name in message
    return message


# config.json


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": {"a": 1}}, "has model type {'a': 1}"),
        ({"model_type": 5}, "has model type 5"),
        ({"num_hidden_layers": 1e300}, "says num_hidden_layers"),
        ({"num_hidden_layers": -1}, ""),
        ({"num_hidden_layers": "5"}, "is not valid"),
        ({"hidden_size": 0}, ""),
        ({"hidden_size": -32}, "is no decoder-only language model"),
        ({"hidden_size": 10**15}, ""),
        ({"hidden_size": [32]}, "is not valid"),
        ({"num_attention_heads": 0}, ""),
        ({"head_dim": -8}, ""),
        ({"vocab_size": 1.5}, "is not valid"),
        ({"vocab_size": 10**30}, ""),
        ({"pad_token_id": "zero"}, ""),
        ({"pad_token_id": 10**9}, "is no decoder-only language model"),
        ({"pad_token_id": [0, 1]}, ""),
        ({"rope_parameters": "fast"}, ""),
        ({"rope_parameters": {"rope_type": "none such", "rope_theta": 1.0}}, ""),
        ({"hidden_act": "none such"}, "is no decoder-only language model"),
        ({"hidden_act": ["silu"]}, ""),
        ({"layer_types": 7}, ""),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "is quantized (awq)"),
        ({"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}, "is quantized"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "is quantized"),
        ({"quantization_config": "gptq"}, "is quantized"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_configuration(pair: tuple[Path, Path], changes: dict[str, Any], message: str) -> None:
    path = pair[1] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert message in refused(pair[1])


@pytest.mark.parametrize(
    "text", [DEEP, f'{{"model_type": "llama", "more": {DEEP}}}', "", "null", "3", "[]", "\x00"]
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors.index.json"])
def test_json_that_is_none(pair: tuple[Path, Path], name: str, text: str) -> None:
    (pair[1] / name).write_text(text)
    assert name in refused(pair[1])


@pytest.mark.parametrize("content", [b"\xff\xfe{}", '{"a": "ü"}'.encode("latin-1"), b'{"a": 1, "a": 2}'])
def test_json_in_another_encoding_or_ambiguous(pair: tuple[Path, Path], content: bytes) -> None:
    (pair[1] / "config.json").write_bytes(content)
    assert "config.json of" in refused(pair[1])


def test_too_many_layers_in_a_part_of_the_configuration(tmp_path: Path) -> None:
    _, instruct = make_pair(tmp_path, "gemma3")
    path = instruct / "config.json"
    fields = json.loads(path.read_text())
    fields["vision_config"]["num_hidden_layers"] = 3_000_000
    path.write_text(json.dumps(fields))
    assert "says num_hidden_layers 3000000" in refused(instruct)


@pytest.mark.parametrize("implementation", ["flash_attention_2", "flash_attention_3", "none such", 3])
def test_an_attention_that_is_not_installed_is_of_no_matter(
    pair: tuple[Path, Path], tmp_path: Path, implementation: object
) -> None:
    for directory in pair:
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"_attn_implementation": implementation}))
    build(resolve_pair(*pair), LayerInterval(1, 2), tmp_path / "out")


@pytest.mark.parametrize(
    "text", ['{"max_new_tokens": "many"}', '{"eos_token_id": {"a": 1}}', "[]", "5", '{"a"']
)
def test_generation_configuration(pair: tuple[Path, Path], text: str) -> None:
    (pair[1] / "generation_config.json").write_text(text)
    try:
        open_checkpoint(pair[1])
    except ValueError:
        assert "generation_config.json" in refused(pair[1])
    else:  # what transformers takes
        build(resolve_pair(*pair), LayerInterval(1, 2), pair[1].parent / "out")


# Weight files

GOOD: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": {**GOOD, "dtype": {"F32": 1}}},
        {"a": {**GOOD, "dtype": 5}},
        {"a": {**GOOD, "dtype": "F4"}},
        {"a": {**GOOD, "shape": 2}},
        {"a": {**GOOD, "shape": "2"}},
        {"a": {**GOOD, "shape": [2.0]}},
        {"a": {**GOOD, "shape": [True, 2]}},
        {"a": {**GOOD, "shape": [-1, -2]}},
        {"a": {**GOOD, "shape": [[2]]}},
        {"a": {**GOOD, "shape": [None]}},
        {"a": {**GOOD, "shape": [10**30, 0], "data_offsets": [0, 0]}},
        {"a": {**GOOD, "shape": {"0": 2}}},
        {"a": {**GOOD, "data_offsets": [0, 8, 16]}},
        {"a": {**GOOD, "data_offsets": [8, 0]}},
        {"a": {**GOOD, "data_offsets": [-8, 0]}},
        {"a": {**GOOD, "data_offsets": [0, "8"]}},
        {"a": {**GOOD, "data_offsets": [0.0, 8.0]}},
        {"a": {**GOOD, "data_offsets": None}},
        {"a": GOOD, "b": GOOD},
        {"a": GOOD, "b": {**GOOD, "data_offsets": [4, 12]}},
        {"a": GOOD, "b": {**GOOD, "data_offsets": [16, 24]}},
        {"a": [GOOD]},
        {"a": 5},
        {"a": GOOD, "__metadata__": 5},
        {"a": GOOD, "__metadata__": {"format": 5}},
        {"a": GOOD, "__metadata__": ["pt"]},
        [GOOD],
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_header_of_a_weight_file(pair: tuple[Path, Path], header: object) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match=r"^its (header is corrupt|tensor a has dtype)"):
        parse_header(text, "x", 0)
    base = pair[0]
    (base / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(ValueError, match=r"base: shard model\.safetensors cannot be used: its"):
        build(resolve_pair(*pair), LayerInterval(1, 2), base.parent / "out")


def test_header_that_names_a_tensor_twice_or_is_deep() -> None:
    twice = b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "a": 1}'
    with pytest.raises(ValueError, match=r"its header is corrupt .*names 'a' twice"):
        parse_header(twice, "x", 0)
    with pytest.raises(ValueError, match=r"its header is corrupt .*nested too deeply"):
        parse_header(DEEP.encode(), "x", 0)


@pytest.mark.parametrize("size", [3, 2**63, 2**64 - 1, 99_000_000])
def test_header_larger_than_the_file(pair: tuple[Path, Path], size: int) -> None:
    path = pair[0] / "model.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b"{}")
    assert "shard model.safetensors cannot be used: it is " in refused_line(pair)


@pytest.mark.parametrize(
    "shard",
    [
        "../base/model.safetensors",
        "..",
        ".",
        "",
        "sub/model.safetensors",
        5,
        None,
        ["x"],
        "x\0y",
    ],
)
def test_index_that_leads_elsewhere(pair: tuple[Path, Path], shard: object) -> None:
    (pair[1] / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    message = refused_line(pair)
    assert "index" in message or "is missing" in message


@pytest.mark.parametrize("index", [{"weight_map": {}}, {"weight_map": []}, {}, {"weight_map": "x"}])
def test_index_of_nothing(pair: tuple[Path, Path], index: dict[str, Any]) -> None:
    (pair[1] / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refused_line(pair)


def refused_line(pair: tuple[Path, Path]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build(resolve_pair(*pair), LayerInterval(1, 2), pair[0].parent / "out")
    assert not (pair[0].parent / "out").exists()
    return str(caught.value)


def test_a_tensor_in_two_files(pair: tuple[Path, Path]) -> None:
    shards = sorted(pair[1].glob("*.safetensors"))
    shutil.copyfile(shards[0], shards[1])
    name = next(iter(load_file(shards[0])))
    assert f"tensor {name} is in shard {shards[1].name}, but the index does not say so" in refused_line(pair)


# What is no file


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # for the path of a socket must be short
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


MAKERS: dict[str, Callable[[Path], None]] = {
    "a pipe": _pipe, "a socket": _socket, "a device": _device, "a directory": Path.mkdir,
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors",
     "model.safetensors.index.json", "processor_config.json"],
)  # fmt: skip
def test_something_in_place_of_a_file(pair: tuple[Path, Path], name: str, kind: str) -> None:
    path = pair[0] / name
    path.unlink(missing_ok=True)
    MAKERS[kind](path)
    assert refused(pair[0]) == f"{name} of {pair[0]} is {kind}: expected a regular file, or none"


def test_empty_files(pair: tuple[Path, Path]) -> None:
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        content = (pair[0] / name).read_bytes()
        (pair[0] / name).write_bytes(b"")
        assert name in refused_line((pair[0], pair[1]))
        (pair[0] / name).write_bytes(content)


def test_files_beside_it_that_are_of_no_matter(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (pair[1] / "runs").mkdir()
    (pair[1] / "gone").symlink_to("nowhere")
    build(resolve_pair(*pair), LayerInterval(1, 2), tmp_path / "out")


def test_json_of_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert read_json_object(tmp_path / "x.json") == parse_json_object(b'{"a": 1}') == {"a": 1}
    monkeypatch.setattr("slr.files.untrusted.MAX_JSON_BYTES", 5)
    with pytest.raises(ValueError, match="is larger than"):
        read_json_object(tmp_path / "x.json")


# The command line


def test_an_output_of_a_user_that_is_not_known(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="~nosuchuser is no user's home directory"):
        build(resolve_pair(*pair), LayerInterval(1, 2), "~nosuchuser/out")


@pytest.mark.usefixtures("few_prompts")
def test_markup_in_paths(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    odd = [path.rename(path.with_name(f"[bold]{path.name}[x][.]")) for path in pair]
    output = pair[0].parent / "[red]"
    for arguments in (["score", str(odd[1])], ["search", *map(str, odd), "--output-dir", str(output)]):
        status = cli.main(arguments)
        found = capsys.readouterr()
        assert status == 0, found.err
        assert "[bold]instruct[x][.]" in "".join(found.out.split())
