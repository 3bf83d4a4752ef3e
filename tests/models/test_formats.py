"""Checkpoints that name or cut the weights differently than their models: searched, scored, built, or truly refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.crc.search import search
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.checkpoint import open_checkpoint
from slr.models.compatibility import IncompatiblePairError
from slr.models.layout import group_layers
from slr.models.loading import load_model, load_pair
from slr.models.presets import resolve_pair
from tests.odd_formats import EXPERTS, MULTIMODAL, NUM_LAYERS, make_pair

PROMPTS = load_prompts("selection")[:2]
INTERVAL = LayerInterval(1, 3)
LAYER_NUMBER = {
    "gemma3": r"^(?:model\.)?language_model\.(?:model\.)?layers\.(\d+)\.",
    "mistral3": r"^(?:model\.)?language_model\.(?:model\.)?layers\.(\d+)\.",
    **dict.fromkeys(EXPERTS, r"^model\.layers\.(\d+)\."),
}
"""The reference: of a file's names the decoder layer, by what the architecture is known to call it."""

Pairs = Callable[[str, bool], tuple[Path, Path]]

CASES = [
    (architecture, hub_format) for architecture in (*EXPERTS, *MULTIMODAL) for hub_format in (True, False)
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    made: dict[tuple[str, bool], tuple[Path, Path]] = {}

    def pair(architecture: str, hub_format: bool) -> tuple[Path, Path]:
        if (architecture, hub_format) not in made:
            directory = tmp_path_factory.mktemp(architecture)
            shard = "20KB" if hub_format else "1GB"
            both = (hub_format, hub_format)
            made[architecture, hub_format] = make_pair(directory, architecture, converted=both, shard=shard)
        return made[architecture, hub_format]

    return pair


def tensors_of(directory: Path) -> dict[str, torch.Tensor]:
    return {name: t for path in directory.glob("*.safetensors") for name, t in load_file(path).items()}


def load_automatically(directory: Path, architecture: str) -> PreTrainedModel:
    auto: Any = AutoModelForImageTextToText if architecture in MULTIMODAL else AutoModelForCausalLM
    return auto.from_pretrained(directory, attn_implementation="sdpa").eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(torch.arange(5, 35)[None]).logits


@pytest.mark.parametrize(("architecture", "hub_format"), CASES)
def test_what_is_built_is_the_hybrid_in_memory(
    pairs: Pairs, tmp_path: Path, architecture: str, hub_format: bool
) -> None:
    base, instruct = pairs(architecture, hub_format)
    report = build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(verify=True))
    pair = load_pair(base, instruct)
    hybrid = restore(pair, INTERVAL)
    built = load_automatically(report.output_dir, architecture)
    assert torch.equal(logits(built), logits(hybrid))
    assert not torch.allclose(logits(built), logits(pair.instruct_model))
    assert not torch.allclose(logits(built), logits(pair.base_model))


@pytest.mark.parametrize(("architecture", "hub_format"), CASES)
def test_names_and_shards_are_the_instruct_model_s_and_only_decoder_layers_the_base_s(
    pairs: Pairs, tmp_path: Path, architecture: str, hub_format: bool
) -> None:
    base, instruct = pairs(architecture, hub_format)
    output = build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out").output_dir
    for pattern in ("*.safetensors", "*.index.json"):
        assert {p.name for p in output.glob(pattern)} == {p.name for p in instruct.glob(pattern)}
    found, of_base, of_instruct = (tensors_of(path) for path in (output, base, instruct))
    assert found.keys() == of_instruct.keys()
    restored = 0
    for name, tensor in found.items():
        number = re.search(LAYER_NUMBER[architecture], name)
        is_restored = number is not None and int(number[1]) in INTERVAL
        restored += is_restored
        assert torch.equal(tensor, (of_base if is_restored else of_instruct)[name]), name
    assert restored > 0


@pytest.mark.parametrize("architecture", ["mixtral", "mistral3"])
def test_restored_in_part(pairs: Pairs, tmp_path: Path, architecture: str) -> None:
    base, instruct = pairs(architecture, True)
    output = build(
        resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(alpha=0.25)
    ).output_dir
    expected = logits(restore(load_pair(base, instruct), INTERVAL, 0.25))
    torch.testing.assert_close(logits(load_automatically(output, architecture)), expected)


@pytest.mark.parametrize(("architecture", "hub_format"), [case for case in CASES if case[1]])
def test_search_and_score_from_memory_and_from_disk(
    pairs: Pairs, architecture: str, hub_format: bool
) -> None:
    base, instruct = pairs(architecture, hub_format)
    loaded, streamed = (load_pair(base, instruct, stream=stream) for stream in (False, True))
    result = search(loaded, PROMPTS)
    assert len(result.intervals) == NUM_LAYERS * (NUM_LAYERS + 1) // 2
    encoded = encode_prompts(PROMPTS, loaded.tokenizer)
    for scored in (result.intervals[0], result.intervals[-1]):
        expected = score_model(restore(loaded, scored.interval), encoded)
        assert scored.scores.validity == pytest.approx(expected.validity, rel=1e-3)
    from_disk = search(streamed, PROMPTS)
    for a, b in zip(result.intervals, from_disk.intervals, strict=True):
        assert a.scores.validity == pytest.approx(b.scores.validity, rel=1e-4)
    model = load_model(instruct)
    expected = score_model(model.model, encode_prompts(PROMPTS, model.tokenizer))
    assert result.instruct.validity == pytest.approx(expected.validity, rel=1e-3)


@pytest.mark.parametrize("architecture", EXPERTS)
@pytest.mark.parametrize("converted", [(True, False), (False, True)])
def test_two_formats_are_refused_with_a_way_that_works(
    tmp_path: Path, architecture: str, converted: tuple[bool, bool]
) -> None:
    base, instruct = make_pair(tmp_path, architecture, converted=converted)
    with pytest.raises(IncompatiblePairError) as caught:
        build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out")
    (line,) = caught.value.mismatches
    advice = "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR, save_original_format=False)"
    assert advice in line
    assert "experts.down_proj" in line
    anew = []
    for path in (base, instruct):  # exactly what is advised
        anew.append(tmp_path / f"{path.name}-anew")
        AutoModelForCausalLM.from_pretrained(path).save_pretrained(anew[-1], save_original_format=False)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (path / name).exists():
                (anew[-1] / name).write_bytes((path / name).read_bytes())
    output = build(resolve_pair(anew[0], anew[1]), INTERVAL, tmp_path / "out").output_dir
    expected = logits(restore(load_pair(anew[0], anew[1]), INTERVAL))
    assert torch.equal(logits(load_automatically(output, architecture)), expected)


@pytest.mark.parametrize("converted", [(True, False), (False, True)])
def test_two_prefixes_are_no_matter(tmp_path: Path, converted: tuple[bool, bool]) -> None:
    base, instruct = make_pair(tmp_path, "gemma3", converted=converted)
    output = build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out").output_dir
    assert tensors_of(output).keys() == tensors_of(instruct).keys()
    expected = logits(restore(load_pair(base, instruct), INTERVAL))
    assert torch.equal(logits(load_automatically(output, "gemma3")), expected)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (
            r"layers\.1\.mlp\.experts\.2\.down_proj",
            r"mlp\.experts\.down_proj: configuration \(4, 32, 24\), weights \(3",
        ),
        (r"layers\.1\.mlp\.experts\.2\.up_proj", r"gate_up_proj: .*in parts that do not fit together"),
        (r"layers\.1\.mlp\.experts\.", r"layers\.1\.mlp\.experts\.down_proj: .*weights missing"),
    ],
)
def test_experts_that_are_lost(tmp_path: Path, lost: str, message: str) -> None:
    base, instruct = make_pair(tmp_path, "qwen3_moe")
    tensors = {name: t for name, t in tensors_of(base).items() if not re.search(lost, name)}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IncompatiblePairError, match=message):
        load_pair(base, instruct)


def test_names_that_no_rule_knows(tmp_path: Path) -> None:
    base, instruct = make_pair(tmp_path, "olmoe")
    for path in (base, instruct):
        tensors = {f"old.{name}": tensor for name, tensor in tensors_of(path).items()}
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IncompatiblePairError) as caught:
        build(resolve_pair(base, instruct), INTERVAL, tmp_path / "out")
    assert len(caught.value.mismatches) == 2
    assert "no tensor has a name that transformers knows for OlmoeForCausalLM" in str(caught.value)
    assert "save_pretrained" not in str(caught.value)  # which would need them to be known


def test_mergekit_is_not_promised_where_the_files_are_named_otherwise(pairs: Pairs, tmp_path: Path) -> None:
    assert build(resolve_pair(*pairs("mixtral", True)), INTERVAL, tmp_path / "experts").mergekit_yaml is None
    assert build(resolve_pair(*pairs("gemma3", True)), INTERVAL, tmp_path / "images").mergekit_yaml is None


def test_layers_are_grouped_under_any_prefix() -> None:
    lines = {f"language_model.model.layers.{i}.mlp.experts.7.w1.weight": "lost" for i in range(3)}
    assert list(group_layers(lines, "model.language_model.layers")) == [
        "tensor language_model.model.layers.{0,1,2}.mlp.experts.7.w1.weight: lost"
    ]


def test_a_vision_tower_with_as_many_layers_is_no_decoder(pairs: Pairs) -> None:
    _, instruct = pairs("mistral3", True)
    checkpoint = open_checkpoint(instruct)
    index = json.loads((instruct / "model.safetensors.index.json").read_text())["weight_map"]
    for name in index:
        number = re.search(LAYER_NUMBER["mistral3"], name)
        assert checkpoint.layer_of(name) == (int(number[1]) if number else None)
