"""NaN, infinity and overflow: found before anything is written, and named by tensor or prompt."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from slr import cli
from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.crc.prompts import load_prompts
from slr.crc.scoring import character_log_probs
from slr.crc.selection import select
from slr.intervals import LayerInterval
from slr.models.loading import load_model, load_pair
from slr.models.numbers_in_range import first_not_finite, largest_magnitude
from slr.models.presets import resolve_pair
from slr.runs.provenance import provenance
from slr.runs.records import CrcScore
from slr.runs.results_store import ResultsStore
from tests.conftest import CheckpointPairs
from tests.tiny_models import make_checkpoint_pair

INSIDE, OUTSIDE, HEAD = (
    "model.layers.2.mlp.up_proj.weight",
    "model.layers.4.self_attn.q_proj.weight",
    "lm_head.weight",
)
INTERVAL = LayerInterval(1, 3)


@pytest.fixture
def copied(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> tuple[Path, Path]:
    paths = checkpoint_pairs("llama", tied=False)
    for path in paths:
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / paths[0].name, tmp_path / paths[1].name


def put(directory: Path, name: str, value: float, dtype: torch.dtype | None = None) -> None:
    """Set one number of a tensor, and convert all tensors."""
    path = directory / "model.safetensors"
    tensors = {n: t.to(dtype) if dtype else t for n, t in load_file(path).items()}
    tensors[name].view(-1)[7] = value
    save_file(tensors, path, metadata={"format": "pt"})


# The largest magnitude


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_largest_magnitude_is_that_of_plain_arithmetic(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tiny = torch.finfo(dtype).tiny
    cases = [
        torch.randn(1001, generator=generator).to(dtype),
        -torch.rand(17, generator=generator).to(dtype),
        torch.tensor([0.0, -0.0, tiny / 4, -tiny / 2], dtype=dtype),
        torch.tensor([torch.finfo(dtype).max, 1.0], dtype=dtype),
        torch.tensor([torch.finfo(dtype).min, 1.0], dtype=dtype),
        torch.randn(6, 7, generator=generator).to(dtype).t(),
    ]
    for numbers in cases:
        assert largest_magnitude(numbers) == float(numbers.double().abs().max())
    for value, position in itertools.product((float("inf"), float("-inf")), (0, 500)):
        numbers = cases[0].clone()
        numbers[position] = value
        assert largest_magnitude(numbers) == float("inf")
        numbers[position + 1] = -torch.tensor(float("nan"), dtype=dtype)
        assert np.isnan(largest_magnitude(numbers))
    assert largest_magnitude(torch.empty(0, dtype=dtype)) == 0


def test_first_not_finite() -> None:
    good = {"a": torch.ones(3), "whole": torch.ones(2, dtype=torch.int64), "none": torch.empty(0)}
    assert first_not_finite(good.items()) is None
    bad = {**good, "b": torch.tensor([1.0, float("-inf")]), "c": torch.tensor(float("nan"))}
    assert first_not_finite(bad.items()) == "b"


# Building


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("side", "name"), [("base", INSIDE), ("instruct", OUTSIDE), ("instruct", HEAD)])
def test_what_is_not_finite_is_not_built(
    copied: tuple[Path, Path], tmp_path: Path, side: str, name: str, value: float, alpha: float
) -> None:
    put(tmp_path / side, name, value)
    what = "NaN" if np.isnan(value) else "infinity"
    message = rf"{side} are damaged: tensor {re.escape(name)} in model\.safetensors holds {what}"
    with pytest.raises(ValueError, match=message):
        build(resolve_pair(*copied), INTERVAL, tmp_path / "out", BuildOptions(alpha=alpha))
    assert {path.name for path in tmp_path.iterdir()} == {"base", "instruct"}


@pytest.mark.parametrize(("side", "name"), [("base", OUTSIDE), ("base", HEAD), ("instruct", INSIDE)])
def test_what_does_not_go_into_the_hybrid_is_found_by_verification(
    copied: tuple[Path, Path], tmp_path: Path, side: str, name: str
) -> None:
    put(tmp_path / side, name, float("nan"))
    output = build(resolve_pair(*copied), INTERVAL, tmp_path / "out").output_dir
    assert all(t.isfinite().all() for t in load_file(output / "model.safetensors").values())
    with pytest.raises(ValueError, match=rf"{side} are damaged: tensor {re.escape(name)}"):
        build(resolve_pair(*copied), INTERVAL, tmp_path / "verified", BuildOptions(verify=True))
    assert not (tmp_path / "verified").exists()


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("value", [7e4, -1e30])
def test_overflow_of_a_conversion(
    copied: tuple[Path, Path], tmp_path: Path, value: float, alpha: float
) -> None:
    base, instruct = copied
    put(base, INSIDE, value, torch.bfloat16)
    put(instruct, INSIDE, 1.0, torch.float16)
    message = (
        rf"base do not fit float16: tensor {re.escape(INSIDE)} .*up to .*, and float16 ends at 6\.55e\+04"
    )
    for verify in (False, True):
        with pytest.raises(ValueError, match=message):
            build(
                resolve_pair(base, instruct),
                INTERVAL,
                tmp_path / "out",
                BuildOptions(alpha=alpha, verify=verify),
            )
    with pytest.raises(ValueError, match=message):
        load_pair(base, instruct)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "instruct"}
    # It is another layer's: the hybrid is whole.
    build(resolve_pair(base, instruct), LayerInterval(3, 5), tmp_path / "out", BuildOptions(alpha=alpha))


def test_a_large_number_that_fits_is_kept(copied: tuple[Path, Path], tmp_path: Path) -> None:
    base, instruct = copied
    put(base, INSIDE, 60000.0, torch.bfloat16)
    put(instruct, INSIDE, 1.0, torch.float16)
    output = build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out").output_dir
    expected = float(torch.tensor(60000.0).bfloat16())
    assert float(load_file(output / "model.safetensors")[INSIDE].view(-1)[7]) == expected


def test_overflow_of_the_difference(copied: tuple[Path, Path], tmp_path: Path) -> None:
    base, instruct = copied
    put(base, INSIDE, 3e38)
    put(instruct, INSIDE, -3e38)
    assert not torch.lerp(torch.tensor(-3e38), torch.tensor(3e38), 0.25).isfinite()
    with pytest.raises(ValueError, match=rf"do not fit float32: tensor {re.escape(INSIDE)}"):
        build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(alpha=0.25))
    assert not (tmp_path / "out").exists()


# Loading and scoring


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", ["base", "instruct"])
def test_weights_that_are_not_finite_are_not_loaded(
    copied: tuple[Path, Path], tmp_path: Path, side: str, stream: bool
) -> None:
    put(tmp_path / side, OUTSIDE, float("nan"))
    message = rf"{side} are damaged: tensor {re.escape(OUTSIDE)} in model\.safetensors holds NaN"
    with pytest.raises(ValueError, match=message):
        load_pair(*copied, stream=stream)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / side)


@pytest.mark.parametrize("command", ["search", "score"])
def test_commands_name_the_tensor(
    copied: tuple[Path, Path], tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(copied[1], HEAD, float("inf"))
    paths = [str(path) for path in copied]
    options = [*paths, "--output-dir", str(tmp_path / "out")] if command == "search" else paths[1:]
    error = run(capsys, command, *options, status=2)
    assert "tensor lm_head.weight in model.safetensors holds infinity" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("few_prompts")
@pytest.mark.parametrize("command", ["search", "score"])
def test_commands_name_the_prompt_where_finite_weights_overflow(
    copied: tuple[Path, Path],
    tmp_path: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = copied[1] / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].sign() * 3e38
    save_file(tensors, path, metadata={"format": "pt"})
    paths = [str(path) for path in copied]
    options = [*paths, "--output-dir", str(tmp_path / "out")] if command == "search" else paths[1:]
    error = run(capsys, command, *options, status=2)
    assert any(
        f"instruct answers the prompt {prompt.id} and" in error for prompt in load_prompts("selection")
    )
    assert "logits that are NaN or infinite" in error
    assert not (tmp_path / "out").exists()


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> str:
    """Run a command; its error, which must be one line."""
    ended = cli.main(arguments)
    output = capsys.readouterr()
    assert ended == status, output.err
    assert "Traceback" not in output.err
    return next((line for line in output.err.splitlines() if line.startswith("error: ")), "")


@pytest.mark.usefixtures("few_prompts")
def test_a_search_over_hybrids_that_overflow_ends_and_goes_on(
    copied: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _overflow_after_base_layers(copied[1])
    output = tmp_path / "out"
    arguments = ["search", *map(str, copied), "--output-dir", str(output)]
    run(capsys, *arguments, status=0)
    lines = (output / "crc_search.jsonl").read_text().splitlines()
    run(capsys, *arguments, status=0)
    assert (output / "crc_search.jsonl").read_text().splitlines() == lines
    scores = {
        score.interval: score
        for score in ResultsStore(output / "crc_search.jsonl").read()
        if isinstance(score, CrcScore) and score.model == "hybrid" and score.prompt_set == "selection"
    }
    assert len(scores) == 15
    overflowing = {interval for interval, score in scores.items() if None in score.validity}
    assert overflowing == {(start, end) for start in range(3) for end in range(start + 1, 4)}
    for interval in overflowing:
        assert set(scores[interval].diversity) == {None}
    selection = next(json.loads(line) for line in lines if '"crc_selection"' in line)
    assert "left out: 6 whose logits are NaN or infinite, such as 0:1" in selection["interval_reason"]
    assert tuple(selection["interval"]) not in overflowing


def _overflow_after_base_layers(instruct: Path) -> None:
    """Have the instruct model keep one place of the hidden state at 0, and layer 3 overflow on any other value."""
    path = instruct / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[-1] = 0
    tensors["model.embed_tokens.weight"][:, -1] = 0
    for projection in ("gate_proj", "up_proj"):
        tensors[f"model.layers.3.mlp.{projection}.weight"][:, -1] = 3e38
    save_file(tensors, path, metadata={"format": "pt"})


# The parts of it


def test_log_probabilities_of_logits_that_are_not_finite() -> None:
    logits = torch.zeros(4, 3)
    logits[1, 2], logits[2, 0], logits[3, 1] = float("nan"), float("inf"), float("-inf")
    found = character_log_probs(logits, [[0], [1]])
    assert found[0].tolist() == pytest.approx([np.log(1 / 3)] * 2)
    assert found[1:3].isnan().all()
    assert found[3].tolist() == [pytest.approx(np.log(1 / 2)), float("-inf")]


def test_selection_among_nothing_but_overflow() -> None:
    selection = select([], 0.5, not_finite=[LayerInterval(0, 1), LayerInterval(0, 2)])
    assert selection.chosen is None
    assert selection.reason.endswith("left out: 2 whose logits are NaN or infinite, such as 0:1")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_record_that_could_not_be_read_again_cannot_be_made(number: float) -> None:
    header: dict[str, Any] = {"experiment": "x", "pair": "p", "provenance": provenance("c", "h", "CPU")}
    fields: dict[str, Any] = {"family": "other", "num_layers": 1, "model": "base", "prompt_set": "selection"}
    with pytest.raises(ValidationError):
        CrcScore(**header, **fields, prompt_ids=("a",), validity=(number,), diversity=(None,))
    with pytest.raises(ValidationError):
        CrcScore(**header, **fields, prompt_ids=("a",), validity=(0.5,), diversity=(number,))


# Whole numbers and quantized checkpoints


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
@pytest.mark.parametrize("side", ["base", "instruct"])
def test_weights_in_whole_numbers_or_8_bits(
    copied: tuple[Path, Path], tmp_path: Path, side: str, dtype: torch.dtype
) -> None:
    path = tmp_path / side / "model.safetensors"
    tensors = load_file(path)
    tensors[INSIDE] = tensors[INSIDE].to(dtype)
    save_file(tensors, path, metadata={"format": "pt"})
    for attempt in (
        lambda: build(resolve_pair(*copied), INTERVAL, tmp_path / "out"),
        lambda: load_pair(*copied),
    ):
        with pytest.raises(ValueError, match=rf"{side}: tensor {re.escape(INSIDE)} is stored as .*quantized"):
            attempt()
    assert not (tmp_path / "out").exists()


def test_pairs_of_the_other_dtypes_are_whole(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        pair = make_checkpoint_pair(tmp_path / str(dtype), "llama", num_layers=2, dtype=dtype)
        build(resolve_pair(*pair), LayerInterval(0, 1), tmp_path / f"out-{dtype}", BuildOptions(verify=True))
