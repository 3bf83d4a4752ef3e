"""Built checkpoints against an independent assembly of the files by tensor name."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from slr.building import checkpoint as export
from slr.building.checkpoint import build
from slr.building.manifest import MANIFEST_FILE, BuildManifest, read_manifest
from slr.building.mergekit import equivalent_yaml, mergekit_yaml
from slr.building.options import BuildOptions
from slr.building.shards import (
    CopiedBytes,
    plan_hybrid_shard,
    verify_hybrid_shard,
    write_hybrid_shard,
)
from slr.hybrid import interpolate, restore
from slr.intervals import LayerInterval
from slr.models.checkpoint import open_checkpoint
from slr.models.compatibility import IncompatiblePairError
from slr.models.loading import load_pair
from slr.models.presets import resolve_pair
from slr.models.reference import ModelReference
from slr.models.stored_tensors import stored_tensors
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES, make_checkpoint_pair

NUM_LAYERS = 5
INTERVALS = [LayerInterval(*ends) for ends in ((0, 2), (3, 5), (2, 3), (1, 4), (0, 5), (2, 2))]
"""At either end, of length one, interior, full and empty."""


def read_tensors(directory: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(directory.glob("*.safetensors")):
        found = load_file(shard)
        assert not found.keys() & tensors.keys()
        tensors |= found
    return tensors


def assembled(
    base: Path, instruct: Path, interval: LayerInterval, alpha: float = 1.0
) -> dict[str, torch.Tensor]:
    """The reference: by name, ``model.layers.N.`` is restored for N in the interval."""
    base_tensors, result = read_tensors(base), read_tensors(instruct)
    for name, own in result.items():
        match = re.match(r"model\.layers\.(\d+)\.", name)
        if match and int(match[1]) in interval:
            other = base_tensors[name].to(own.dtype)
            mixed = (1 - alpha) * own.double() + alpha * other.double()
            result[name] = other if alpha == 1 else mixed.to(own.dtype)
    return result


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


# The weights


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_assembly_by_name(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, architecture: str, tied: bool
) -> None:
    base, instruct = checkpoint_pairs(architecture, tied=tied)
    for interval in INTERVALS:
        report = build(resolve_pair(base, instruct), interval, tmp_path / str(interval))
        assert_equal(read_tensors(report.output_dir), assembled(base, instruct, interval))


@pytest.mark.parametrize("sizes", [("40KB", "1GB"), ("1GB", "40KB"), ("40KB", "60KB")])
def test_the_two_may_be_sharded_differently(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, sizes: tuple[str, str]
) -> None:
    base, instruct = checkpoint_pairs("qwen2", base_shard_size=sizes[0], instruct_shard_size=sizes[1])
    interval = LayerInterval(1, 4)
    output = build(resolve_pair(base, instruct), interval, tmp_path / "out").output_dir
    assert_equal(read_tensors(output), assembled(base, instruct, interval))
    for pattern in ("*.safetensors", "*.index.json"):
        names = {path.name for path in instruct.glob(pattern)}
        assert {path.name for path in output.glob(pattern)} == names
    index_file = instruct / "model.safetensors.index.json"
    if index_file.exists():
        assert (output / index_file.name).read_bytes() == index_file.read_bytes()


def test_the_empty_interval_is_the_instruct_model_byte_for_byte(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    base, instruct = checkpoint_pairs("gemma2", instruct_shard_size="40KB")
    output = build(resolve_pair(base, instruct), LayerInterval(0, 0), tmp_path / "out").output_dir
    for path in instruct.iterdir():
        assert (output / path.name).read_bytes() == path.read_bytes()
    added = {path.name for path in output.iterdir()} - {path.name for path in instruct.iterdir()}
    assert added == {MANIFEST_FILE, "README.md"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_partial_restoration(tmp_path: Path, dtype: torch.dtype) -> None:
    base, instruct = make_checkpoint_pair(tmp_path, "llama", dtype=dtype)
    interval = LayerInterval(1, 4)
    report = build(resolve_pair(base, instruct), interval, tmp_path / "out", BuildOptions(alpha=0.5))
    found, expected = read_tensors(report.output_dir), assembled(base, instruct, interval, 0.5)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6, atol=1e-7
        )
    origins = report.manifest.tensors
    assert origins["model.layers.1.mlp.up_proj.weight"].source == "interpolated"
    assert origins["model.layers.0.mlp.up_proj.weight"].source == "instruct"


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("base_dtype", [torch.float32, torch.bfloat16])
def test_equals_the_hybrid_in_memory_bit_for_bit(
    tmp_path: Path, base_dtype: torch.dtype, alpha: float
) -> None:
    base, _ = make_checkpoint_pair(tmp_path / "one", "gemma3", dtype=base_dtype)
    _, instruct = make_checkpoint_pair(tmp_path / "two", "gemma3", dtype=torch.bfloat16)
    interval = LayerInterval(2, 5)
    report = build(resolve_pair(base, instruct), interval, tmp_path / "out", BuildOptions(alpha=alpha))
    expected = restore(load_pair(base, instruct), interval, alpha).state_dict()
    built = AutoModelForCausalLM.from_pretrained(report.output_dir).state_dict()
    assert_equal(built, dict(expected))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_components_equal_the_hybrid_in_memory_bit_for_bit(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, alpha: float
) -> None:
    base, instruct = checkpoint_pairs("gemma3")
    interval = LayerInterval(1, 4)
    options = BuildOptions(alpha=alpha, components=("norms", "attention"), verify=True)
    report = build(resolve_pair(base, instruct), interval, tmp_path / "out", options)
    expected = restore(load_pair(base, instruct), interval, alpha, options.components).state_dict()
    found = AutoModelForCausalLM.from_pretrained(report.output_dir).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert report.manifest.components == ("attention", "norms")
    from_base = {name for name, origin in report.manifest.tensors.items() if origin.source != "instruct"}
    assert from_base
    assert not any(".mlp." in name for name in from_base)
    assert report.mergekit_yaml is None
    card = (report.output_dir / "README.md").read_text()
    assert "the attention and the norms of layers 1:4 of 5" in card
    assert "The rest of these layers, all other layers, embeddings" in card


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen3_moe"])
@pytest.mark.parametrize("base_dtype", [torch.float32, torch.bfloat16])
def test_a_soup_equals_the_one_in_memory_bit_for_bit(
    tmp_path: Path, architecture: str, base_dtype: torch.dtype
) -> None:
    """The search scores the one in memory. Gemma's embedding and head are one tensor."""
    base, _ = make_checkpoint_pair(tmp_path / "one", architecture, dtype=base_dtype)
    _, instruct = make_checkpoint_pair(tmp_path / "two", architecture, dtype=torch.bfloat16)
    report = build(resolve_pair(base, instruct), None, tmp_path / "out", BuildOptions(alpha=0.3, verify=True))
    expected = interpolate(load_pair(base, instruct), 0.3).state_dict()
    built = AutoModelForCausalLM.from_pretrained(report.output_dir).state_dict()
    assert_equal(built, dict(expected))
    assert report.manifest.interval is None
    assert {origin.source for origin in report.manifest.tensors.values()} == {"interpolated"}
    assert read_manifest(report.output_dir) == report.manifest
    assert "souped with its base model at 0.3" in (report.output_dir / "README.md").read_text()


def test_a_soup_at_alpha_1_has_the_base_models_weights(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    base, instruct = checkpoint_pairs("qwen2")
    output = build(resolve_pair(base, instruct), None, tmp_path / "out").output_dir
    assert_equal(read_tensors(output), read_tensors(base))


def test_a_soup_has_no_components(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    options = BuildOptions(alpha=0.5, components=("mlp",))
    with pytest.raises(ValueError, match="a soup is of all weights"):
        build(resolve_pair(*checkpoint_pairs("llama")), None, tmp_path / "out", options)


def test_another_dtype_is_converted_and_said(tmp_path: Path) -> None:
    base, _ = make_checkpoint_pair(tmp_path / "one", "llama", dtype=torch.float32)
    _, instruct = make_checkpoint_pair(tmp_path / "two", "llama", dtype=torch.float16)
    report = build(resolve_pair(base, instruct), LayerInterval(0, 3), tmp_path / "out")
    assert_equal(read_tensors(report.output_dir), assembled(base, instruct, LayerInterval(0, 3)))
    assert report.manifest.notes == ("base weights are float32 on disk and were converted to float16",)


def test_chunks_smaller_than_a_tensor(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, instruct = checkpoint_pairs("llama")
    monkeypatch.setattr("slr.building.shards.CHUNK_ELEMENTS", 100)
    output = build(
        resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out", BuildOptions(alpha=0.25)
    ).output_dir
    expected = assembled(base, instruct, LayerInterval(1, 3), 0.25)
    for name, tensor in read_tensors(output).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("problem", ["missing", "another file system", "nothing copied"])
def test_where_the_kernel_cannot_copy(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    if problem == "missing":
        monkeypatch.delattr("os.copy_file_range", raising=False)
    else:
        error = OSError(errno.EXDEV, "Invalid cross-device link")
        answer = {"return_value": 0} if problem == "nothing copied" else {"side_effect": error}
        monkeypatch.setattr("os.copy_file_range", Mock(**answer), raising=False)
    base, instruct = checkpoint_pairs("llama", base_shard_size="40KB")
    output = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out").output_dir
    assert_equal(read_tensors(output), assembled(base, instruct, LayerInterval(1, 3)))


def test_the_kernel_copies_from_aligned_positions_on(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def copy_file_range(source: int, target: int, count: int, offset_src: int) -> int:
        position = os.lseek(target, 0, os.SEEK_CUR)
        lengths.append((position % 256, count))
        return os.write(target, os.pread(source, count, offset_src))

    monkeypatch.setattr("os.copy_file_range", copy_file_range, raising=False)
    monkeypatch.setattr("slr.building.shards.COPY_ALIGNMENT", 256)
    monkeypatch.setattr("slr.building.shards.COPY_BYTES", 1024)
    base, instruct = checkpoint_pairs("llama")
    output = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out").output_dir
    assert_equal(read_tensors(output), assembled(base, instruct, LayerInterval(1, 3)))
    assert {offset for offset, _ in lengths} > {0}
    assert all(count <= 256 - offset for offset, count in lengths if offset)
    assert max(count for offset, count in lengths if offset == 0) == 1024


def test_tensors_that_follow_one_another_are_copied_at_once(checkpoint_pairs: CheckpointPairs) -> None:
    base, instruct = checkpoint_pairs("llama")
    shard = "model.safetensors"
    restored = {name: t for name, t in stored_tensors(base, shard).items() if ".layers.2." in name}
    pieces = plan_hybrid_shard(instruct / shard, restored, alpha=1.0).pieces
    assert len(restored) == 9
    assert [piece.path for piece in pieces if isinstance(piece, CopiedBytes)] == [
        instruct / shard,
        base / shard,
        instruct / shard,
    ]
    assert len(pieces) == 3


def test_verification_names_the_tensor_that_differs(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    base, instruct = (path / "model.safetensors" for path in checkpoint_pairs("llama"))
    output = tmp_path / "model.safetensors"
    name = "model.layers.3.mlp.up_proj.weight"
    plan = plan_hybrid_shard(instruct, {name: stored_tensors(base.parent, base.name)[name]}, alpha=0.5)
    write_hybrid_shard(plan, output, lambda _: None)
    written = output.read_bytes()
    assert verify_hybrid_shard(plan, output, lambda _: None) == hashlib.sha256(written).hexdigest()
    last = stored_tensors(tmp_path, output.name)[name].end - 1
    output.write_bytes(written[:last] + bytes([written[last] ^ 1]) + written[last + 1 :])
    with pytest.raises(
        OSError, match=rf"differs from its sources at byte {last}, in tensor {re.escape(name)}"
    ):
        verify_hybrid_shard(plan, output, lambda _: None)
    output.write_bytes(written[:-1])
    with pytest.raises(OSError, match=rf"at byte {len(written) - 1}, in tensor"):
        verify_hybrid_shard(plan, output, lambda _: None)
    output.write_bytes(written + b"x")
    with pytest.raises(OSError, match="is longer than it was written"):
        verify_hybrid_shard(plan, output, lambda _: None)


# The directory


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_output_loads_and_has_everything_of_the_instruct_model(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, architecture: str
) -> None:
    base, instruct = checkpoint_pairs(architecture)
    output = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out").output_dir
    model: Any = AutoModelForCausalLM.from_pretrained(output)
    tokenizer: Any = AutoTokenizer.from_pretrained(output)
    chat = [{"role": "user", "content": "Pick a letter"}]
    expected = AutoTokenizer.from_pretrained(instruct).apply_chat_template(chat, tokenize=False)
    assert tokenizer.apply_chat_template(chat, tokenize=False) == expected
    assert model.generation_config.eos_token_id == [2, 4]
    prompt = tokenizer("Pick a letter", return_tensors="pt")
    text = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    hybrid: Any = restore(load_pair(base, instruct), LayerInterval(1, 3))
    assert torch.equal(text, hybrid.generate(**prompt, max_new_tokens=4, do_sample=False))


def test_nothing_but_the_checkpoint_is_copied(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, original = checkpoint_pairs("llama")
    instruct = tmp_path / "instruct"
    shutil.copytree(original, instruct)
    for name in ("training_args.bin", "code.py", "README.md", "optimizer.pt", "LICENSE"):
        (instruct / name).write_text("instruct")
    (instruct / "additional_chat_templates").mkdir()
    (instruct / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    output = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out").output_dir
    copied = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    expected = {path.name for path in original.iterdir()}
    assert copied == expected | {
        "LICENSE",
        "README.md",
        MANIFEST_FILE,
        "additional_chat_templates/tools.jinja",
    }
    assert (output / "README.md").read_text() != "instruct"


def test_manifest_says_where_every_tensor_came_from(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    base, instruct = checkpoint_pairs("mistral", instruct_shard_size="40KB")
    report = build(
        resolve_pair(base, instruct), LayerInterval(3, 5), tmp_path / "out", BuildOptions(verify=True)
    )
    manifest = BuildManifest.model_validate_json((report.output_dir / MANIFEST_FILE).read_text())
    assert manifest == report.manifest
    assert (manifest.base, manifest.instruct) == (base.name, instruct.name)
    assert (manifest.interval, manifest.num_layers, manifest.alpha) == ((3, 5), 5, 1.0)
    assert set(manifest.shards) == {path.name for path in instruct.glob("*.safetensors")}
    for shard, digest in manifest.shards.items():
        content = (report.output_dir / shard).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        with safe_open(report.output_dir / shard, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                assert manifest.tensors[name].shard == shard
    assert manifest.tensors.keys() == read_tensors(instruct).keys()
    restored = {name for name, origin in manifest.tensors.items() if origin.source == "base"}
    assert restored == {name for name in manifest.tensors if re.match(r"model\.layers\.[34]\.", name)}
    assert report.num_restored == len(restored)
    assert report.num_bytes == sum(path.stat().st_size for path in report.output_dir.glob("*.safetensors"))


def test_without_verification_no_file_is_hashed(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    report = build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(1, 2), tmp_path / "out")
    assert report.manifest.shards == {"model.safetensors": None}


@pytest.mark.parametrize("verify", [False, True])
def test_progress_reaches_the_total(checkpoint_pairs: CheckpointPairs, tmp_path: Path, verify: bool) -> None:
    calls: list[tuple[int, int]] = []
    report = build(
        resolve_pair(*checkpoint_pairs("llama")),
        LayerInterval(1, 3),
        tmp_path / "out",
        BuildOptions(verify=verify),
        on_progress=lambda done, total: calls.append((done, total)),
    )
    numbers = sum(tensor.nbytes for tensor in read_tensors(report.output_dir).values())
    # Checked first; and to verify is to check both models, and to read what was written.
    total = 3 * numbers + 2 * report.num_bytes if verify else numbers + report.num_bytes
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


# What is refused, and what a failure leaves


def test_existing_output_is_refused(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(
        ValueError, match=r"exists already: choose another output directory, or ask to overwrite"
    ):
        build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(1, 3), output)
    assert not list(output.iterdir())


def test_overwriting_replaces_the_whole_checkpoint(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, instruct = checkpoint_pairs("llama", instruct_shard_size="40KB")
    output = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out").output_dir
    base, instruct = checkpoint_pairs("qwen3")
    build(resolve_pair(base, instruct), LayerInterval(0, 1), output, BuildOptions(overwrite=True))
    assert_equal(read_tensors(output), assembled(base, instruct, LayerInterval(0, 1)))
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("name", ["notes.txt", "pyproject.toml"])
def test_a_directory_that_is_no_checkpoint_is_never_overwritten(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / name).write_text("precious")
    with pytest.raises(ValueError, match=r"has no readable slr_manifest\.json: it is not overwritten"):
        build(
            resolve_pair(*checkpoint_pairs("llama")),
            LayerInterval(1, 3),
            output,
            BuildOptions(overwrite=True),
        )
    assert (output / name).read_text() == "precious"


def test_sources_are_never_overwritten(tmp_path: Path) -> None:
    base, instruct = make_checkpoint_pair(tmp_path, "llama")
    for output in (base, instruct):
        before = read_tensors(output)
        with pytest.raises(ValueError, match="is not overwritten"):
            build(resolve_pair(base, instruct), LayerInterval(1, 3), output, BuildOptions(overwrite=True))
        assert_equal(read_tensors(output), before)


@pytest.mark.parametrize("alpha", [0.0, -0.5, 1.5])
def test_alpha_out_of_range(checkpoint_pairs: CheckpointPairs, tmp_path: Path, alpha: float) -> None:
    with pytest.raises(ValueError, match=rf"alpha is {alpha}, expected a number in \(0, 1\]"):
        build(
            resolve_pair(*checkpoint_pairs("llama")),
            LayerInterval(1, 3),
            tmp_path / "out",
            BuildOptions(alpha=alpha),
        )


def test_interval_out_of_range(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3:6 does not fit a model of 5 decoder layers"):
        build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(3, 6), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_models_that_are_no_pair(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, instruct = checkpoint_pairs("mistral")[0], checkpoint_pairs("llama")[1]
    with pytest.raises(IncompatiblePairError, match="architecture: base MistralForCausalLM"):
        build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_checkpoint_with_foreign_tensor_names(tmp_path: Path) -> None:
    base, instruct = make_checkpoint_pair(tmp_path, "llama")
    for path in (base, instruct):
        tensors = {f"old.{name}": tensor for name, tensor in load_file(path / "model.safetensors").items()}
        save_file(tensors, path / "model.safetensors")
    with pytest.raises(ValueError, match="no tensor has a name that transformers knows"):
        build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out")


@pytest.mark.parametrize("function", ["write_hybrid_shard", "model_card"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_in_mid_build_leaves_what_was_there(
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    overwrite: bool,
) -> None:
    base, instruct = checkpoint_pairs("llama", instruct_shard_size="40KB")
    output = tmp_path / "out"
    if overwrite:
        build(resolve_pair(base, instruct), LayerInterval(0, 1), output)
    before = read_tensors(output)
    monkeypatch.setattr(export, function, _fail_at_second_call(getattr(export, function), function))
    with pytest.raises(OSError, match="disk full"):
        build(resolve_pair(base, instruct), LayerInterval(1, 3), output, BuildOptions(overwrite=overwrite))
    assert {path.name for path in tmp_path.iterdir()} == ({"out"} if overwrite else set())
    assert_equal(read_tensors(output), before)


KILLED_BUILD = """
import sys, time
from slr.building.checkpoint import build
from slr.intervals import LayerInterval
from slr.models.presets import resolve_pair

def stop(done, total):
    if done < 0.6 * total:  # all numbers are checked first
        return
    print("writing", flush=True)
    time.sleep(600)

build(resolve_pair(*sys.argv[1:3]), LayerInterval(1, 3), sys.argv[3], on_progress=stop)
"""


def test_a_killed_build_leaves_nothing_that_looks_complete(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    base, instruct = checkpoint_pairs("llama", instruct_shard_size="40KB")
    output = tmp_path / "out"
    command = [sys.executable, "-c", KILLED_BUILD, base, instruct, output]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".out.partial-")
    assert not (partial / "config.json").exists()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        open_checkpoint(partial)
    report = build(resolve_pair(base, instruct), LayerInterval(1, 3), output)
    assert_equal(read_tensors(output), assembled(base, instruct, LayerInterval(1, 3)))
    assert [note for note in report.notes if str(partial) in note and "may be removed" in note]


def test_a_disk_that_fills_up(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("os.copy_file_range", Mock(side_effect=full), raising=False)
    with pytest.raises(OSError, match=r"disk of .*out is full, and what was written is removed: make room"):
        build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(1, 3), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_system_refuses_to_let_grow(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    """A real failure of the kernel in the middle of a file."""
    pair = checkpoint_pairs("llama")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            build(resolve_pair(*pair), LayerInterval(1, 3), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_said_before_anything_is_written(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", Mock(return_value=Mock(free=10_000_000)))
    build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(1, 3), tmp_path / "out")
    monkeypatch.setattr("shutil.disk_usage", Mock(return_value=Mock(free=10_000)))
    with pytest.raises(ValueError, match=r"takes 0\.00 GB, and its disk has 0\.00 GB left: make room"):
        build(resolve_pair(*checkpoint_pairs("llama")), LayerInterval(1, 3), tmp_path / "new" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def _fail_at_second_call(function: Callable[..., object], name: str) -> Callable[..., object]:
    calls = 0

    def failing(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2 or name == "model_card":
            raise OSError("disk full")
        return function(*args, **options)

    return failing


# Other tools


@pytest.mark.parametrize(
    ("architecture", "ends", "alpha"),
    [
        ("llama", (1, 4), 1.0),
        ("llama", (0, 2), 1.0),
        ("gemma2", (3, 5), 1.0),
        ("qwen2", (0, 5), 1.0),
        ("mistral", (2, 4), 0.25),
    ],
)
def test_mergekit_makes_the_same_tensors(
    tmp_path: Path, architecture: str, ends: tuple[int, int], alpha: float
) -> None:
    pytest.importorskip("mergekit")
    base, instruct = make_checkpoint_pair(tmp_path, architecture, dtype=torch.bfloat16)
    interval = LayerInterval(*ends)
    text = mergekit_yaml(
        ModelReference(str(base)),
        ModelReference(str(instruct)),
        interval,
        num_layers=NUM_LAYERS,
        dtype=torch.bfloat16,
        alpha=alpha,
    )
    merged = run_mergekit(text, tmp_path)
    built = read_tensors(
        build(resolve_pair(base, instruct), interval, tmp_path / "out", BuildOptions(alpha=alpha)).output_dir
    )
    if alpha == 1:
        assert_equal(merged, built)
    for name, tensor in built.items():
        torch.testing.assert_close(merged[name], tensor, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize(
    ("ends", "wrong"), [((0, 2), "model.embed_tokens.weight"), ((3, 5), "model.norm.weight")]
)
def test_plain_slices_of_mergekit_are_wrong_at_the_ends(
    tmp_path: Path, ends: tuple[int, int], wrong: str
) -> None:
    pytest.importorskip("mergekit")
    base, instruct = make_checkpoint_pair(tmp_path, "llama", dtype=torch.bfloat16)
    slices = [(instruct, 0, ends[0]), (base, *ends), (instruct, ends[1], NUM_LAYERS)]
    text = "merge_method: passthrough\ndtype: bfloat16\nslices:\n" + "".join(
        f"- sources:\n  - model: {path}\n    layer_range: [{start}, {end}]\n"
        for path, start, end in slices
        if start < end
    )
    merged = run_mergekit(text, tmp_path)
    assert torch.equal(merged[wrong], read_tensors(base)[wrong])
    built = read_tensors(
        build(resolve_pair(base, instruct), LayerInterval(*ends), tmp_path / "out").output_dir
    )
    assert torch.equal(built[wrong], read_tensors(instruct)[wrong])


def test_the_report_has_mergekit_s_configuration(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, instruct = checkpoint_pairs("llama")
    report = build(resolve_pair(base, instruct), LayerInterval(1, 3), tmp_path / "out")
    assert report.mergekit_yaml == mergekit_yaml(
        ModelReference(str(base)),
        ModelReference(str(instruct)),
        LayerInterval(1, 3),
        num_layers=NUM_LAYERS,
        dtype=torch.float32,
    )
    assert report.mergekit_yaml is not None
    assert "merge_method: passthrough" in report.mergekit_yaml
    with_adapter = report.manifest.model_copy(update={"instruct_is_adapter": True})
    references = ModelReference(str(base)), ModelReference(str(instruct))
    assert equivalent_yaml(with_adapter, "model.layers", *references) is None
    assert equivalent_yaml(report.manifest, None, *references) is None


def run_mergekit(configuration: str, directory: Path) -> dict[str, torch.Tensor]:
    import yaml
    from mergekit.config import MergeConfiguration  # pyright: ignore[reportMissingImports]
    from mergekit.merge import run_merge  # pyright: ignore[reportMissingImports]
    from mergekit.options import MergeOptions  # pyright: ignore[reportMissingImports]

    run_merge(
        MergeConfiguration.model_validate(yaml.safe_load(configuration)),
        str(directory / "merged"),
        options=MergeOptions(quiet=True),
    )
    return read_tensors(directory / "merged")


def test_lm_eval_loads_the_output(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    output = build(resolve_pair(*checkpoint_pairs("qwen2")), LayerInterval(1, 3), tmp_path / "out").output_dir
    model = huggingface.HFLM(pretrained=str(output), device="cpu", dtype="float32")
    assert model.max_length == 512
    assert model.tok_encode("a b")
