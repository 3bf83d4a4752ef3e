"""A built hybrid has the tokenizer, chat template and end tokens of its instruct side, wherever they are written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from slr.building.adapter import build_adapter
from slr.building.checkpoint import build
from slr.building.manifest import MANIFEST_FILE, BuildManifest
from slr.intervals import LayerInterval
from slr.models.adapters.opening import open_adapter
from slr.models.checkpoint import open_checkpoint
from slr.models.presets import resolve_pair
from tests.tiny_models import make_model
from tests.written_tokenizers import TemplatePlace, TokenPlace, write_json, write_tokenizer

OWN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}: {{ m.content | trim }}<|done|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant: {% endif %}"
)
BASE_TEMPLATE = "{% for m in messages %}BASE {{ m.content }}<|end|>{% endfor %}"
CHAT = [
    {"role": "user", "content": " Name a tree. "},
    {"role": "assistant", "content": "Oak"},
    {"role": "user", "content": "Another"},
]
INTERVAL = LayerInterval(0, 1)
WriteSides = Callable[..., tuple[Path, Path]]
TEMPLATE_PLACES: tuple[TemplatePlace, ...] = get_args(TemplatePlace)
TOKEN_PLACES: tuple[TokenPlace, ...] = get_args(TokenPlace)


def write_model(directory: Path, seed: int, *, eos: int | list[int] | None = 2) -> None:
    model = make_model("llama", num_layers=2, seed=seed)
    assert model.generation_config is not None
    model.generation_config.eos_token_id = eos
    model.save_pretrained(directory)


def write_adapter(base: Path, adapter: Path) -> None:
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "down_proj"])
    tuned: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    tuned.save_pretrained(str(adapter))
    (adapter / "README.md").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, an instruct model and an adapter, none with a tokenizer."""
    directory = tmp_path_factory.mktemp("weights")
    write_model(directory / "base", seed=0)
    write_model(directory / "full", seed=1)
    write_adapter(directory / "base", directory / "adapter")
    return directory


@pytest.fixture
def write_sides(tmp_path: Path, weights: Path) -> WriteSides:
    """Copies of the base model and of an instruct side."""

    def write(*, as_adapter: bool) -> tuple[Path, Path]:
        base, instruct = tmp_path / "base", tmp_path / "instruct"
        shutil.copytree(weights / "base", base)
        shutil.copytree(weights / ("adapter" if as_adapter else "full"), instruct)
        return base, instruct

    return write


def build_side(base: Path, instruct: Path, output: Path, *, as_adapter: bool) -> Any:
    if as_adapter:
        return build(resolve_pair(base, adapter=instruct), INTERVAL, output)
    return build(resolve_pair(base, instruct), INTERVAL, output)


def speech(directory: Path) -> dict[str, Any]:
    """What transformers itself makes of the files of a directory."""
    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    if tokenizer.chat_template is None and (directory / "chat_template.json").exists():
        tokenizer.chat_template = json.loads((directory / "chat_template.json").read_text())["chat_template"]
    return {
        "special": tokenizer.special_tokens_map,
        "all special": sorted(tokenizer.all_special_tokens),
        "added": {id_: (t.content, t.special) for id_, t in tokenizer.added_tokens_decoder.items()},
        "vocabulary": tokenizer.get_vocab(),
        "templates": tokenizer.chat_template,
        "chat": tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False),
        "text": tokenizer("Hello <|done|> there")["input_ids"],
    }


@pytest.mark.parametrize("as_adapter", [False, True], ids=["full", "adapter"])
@pytest.mark.parametrize("token_place", TOKEN_PLACES)
@pytest.mark.parametrize("template_place", TEMPLATE_PLACES)
def test_it_speaks_as_the_instruct_side(
    tmp_path: Path,
    write_sides: WriteSides,
    template_place: TemplatePlace,
    token_place: TokenPlace,
    as_adapter: bool,
) -> None:
    base, instruct = write_sides(as_adapter=as_adapter)
    # The base model's tokenizer is written in the other style, with a template, an end and a token of its own.
    write_tokenizer(
        base,
        template=BASE_TEMPLATE,
        template_place="additional" if template_place in ("config", "list") else "config",
        token_place="legacy" if token_place == "config" else "config",
        extra=("<|of_base|>",),
    )
    write_tokenizer(
        instruct,
        template=OWN_TEMPLATE,
        template_place=template_place,
        token_place=token_place,
        eos_token="<|done|>",
        # The same rows of the embedding, so that the two can be a pair.
        extra=("<|of_base|>", "<|done|>"),
    )
    report = build_side(base, instruct, tmp_path / "out", as_adapter=as_adapter)
    expected, found = speech(instruct), speech(tmp_path / "out")
    assert found == expected
    assert expected["special"]["eos_token"] == "<|done|>"
    own_files = {
        path.relative_to(instruct).as_posix()
        for pattern in ("*token*", "chat_template*", "additional_chat_templates/*")
        for path in instruct.glob(pattern)
    }
    for name in own_files:
        assert (tmp_path / "out" / name).read_bytes() == (instruct / name).read_bytes()
    others = {"added_tokens.json", "special_tokens_map.json", "additional_chat_templates"}
    assert not [
        name for name in others if (tmp_path / "out" / name).exists() and not (instruct / name).exists()
    ]
    done = AutoTokenizer.from_pretrained(instruct).convert_tokens_to_ids("<|done|>")
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == [2, done]
    manifest = BuildManifest.model_validate_json((tmp_path / "out" / MANIFEST_FILE).read_text())
    assert manifest.end_tokens is not None
    assert [(token.id, token.token) for token in manifest.end_tokens.tokens] == [
        (2, "<|eos|>"),
        (done, "<|done|>"),
    ]
    assert len([note for note in report.notes if note.startswith("an answer ends at")]) == 1


@pytest.mark.parametrize("token_place", TOKEN_PLACES)
def test_an_adapter_with_a_template_alone(
    tmp_path: Path, write_sides: WriteSides, token_place: TokenPlace
) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_tokenizer(base, template=BASE_TEMPLATE, template_place="additional", token_place=token_place)
    (adapter / "chat_template.jinja").write_text(OWN_TEMPLATE.replace("<|done|>", "<|end|>"))
    build_side(base, adapter, tmp_path / "out", as_adapter=True)
    found, of_base = speech(tmp_path / "out"), speech(base)
    assert found["templates"] == (adapter / "chat_template.jinja").read_text()
    for part in ("special", "added", "vocabulary", "text"):
        assert found[part] == of_base[part]
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == [2, 4]


def test_an_adapter_with_a_template_in_the_processors_file(tmp_path: Path, write_sides: WriteSides) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_json(adapter / "chat_template.json", {"chat_template": OWN_TEMPLATE.replace("<|done|>", "<|end|>")})
    write_tokenizer(base, template=BASE_TEMPLATE, template_place="config", token_place="map")
    with pytest.raises(ValueError, match=r"put the adapter's into chat_template\.jinja"):
        build_side(base, adapter, tmp_path / "out", as_adapter=True)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    write_tokenizer(base, template=BASE_TEMPLATE, template_place="jinja")
    build_side(base, adapter, tmp_path / "out", as_adapter=True)
    assert speech(tmp_path / "out")["templates"] == OWN_TEMPLATE.replace("<|done|>", "<|end|>")


@pytest.mark.parametrize("token_place", TOKEN_PLACES)
def test_an_adapter_without_a_tokenizer(
    tmp_path: Path, write_sides: WriteSides, token_place: TokenPlace
) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_tokenizer(base, template=BASE_TEMPLATE, template_place="list", token_place=token_place)
    build_side(base, adapter, tmp_path / "out", as_adapter=True)
    assert speech(tmp_path / "out") == speech(base)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_an_adapter_with_a_part_of_a_tokenizer(tmp_path: Path, write_sides: WriteSides, name: str) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_tokenizer(base, template=BASE_TEMPLATE, token_place="legacy", extra=("<|of_base|>",))
    shutil.copyfile(base / name, adapter / name)
    with pytest.raises(ValueError, match=name) as caught:
        build_side(base, adapter, tmp_path / "out", as_adapter=True)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_an_adapters_generation_settings_go_before_the_base_models(
    tmp_path: Path, write_sides: WriteSides
) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_tokenizer(base, template=OWN_TEMPLATE.replace("<|done|>", "<|end|>"))
    write_json(adapter / "generation_config.json", {"eos_token_id": 3, "temperature": 0.6, "do_sample": True})
    build_side(base, adapter, tmp_path / "out", as_adapter=True)
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert written == {"eos_token_id": [3, 2, 4], "temperature": 0.6, "do_sample": True}


def test_settings_that_name_every_end_are_copied_byte_for_byte(
    tmp_path: Path, write_sides: WriteSides
) -> None:
    base, instruct = write_sides(as_adapter=False)
    for side in (base, instruct):
        write_tokenizer(side, template=OWN_TEMPLATE.replace("<|done|>", "<|end|>"))
    text = '{ "eos_token_id": [4, 2],\n\n "top_p": 0.9, "do_sample": true}'
    (instruct / "generation_config.json").write_text(text)
    report = build_side(base, instruct, tmp_path / "out", as_adapter=False)
    assert (tmp_path / "out" / "generation_config.json").read_text() == text
    assert report.notes == ()


def test_a_checkpoint_without_generation_settings_gets_some(tmp_path: Path, write_sides: WriteSides) -> None:
    base, instruct = write_sides(as_adapter=False)
    for side in (base, instruct):
        write_tokenizer(side, template=OWN_TEMPLATE.replace("<|done|>", "<|end|>"))
    (instruct / "generation_config.json").unlink()
    config = json.loads((instruct / "config.json").read_text())
    write_json(instruct / "config.json", {**config, "eos_token_id": 2, "bos_token_id": 1})
    build_side(base, instruct, tmp_path / "out", as_adapter=False)
    written = GenerationConfig.from_pretrained(tmp_path / "out")
    assert (written.eos_token_id, written.bos_token_id) == ([2, 4], 1)


@pytest.mark.parametrize("has_tokenizer", [True, False])
def test_an_adapter_that_is_written_as_one(
    tmp_path: Path, write_sides: WriteSides, has_tokenizer: bool
) -> None:
    base, adapter = write_sides(as_adapter=True)
    write_tokenizer(base, template=OWN_TEMPLATE.replace("<|done|>", "<|end|>"), token_place="legacy")
    if has_tokenizer:
        write_tokenizer(adapter, template=OWN_TEMPLATE, extra=("<|done|>",), eos_token="<|done|>")
    manifest = build_adapter(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "out")
    opened = open_checkpoint(base)
    source = open_adapter(adapter).applied_to(opened)
    written = open_adapter(tmp_path / "out").applied_to(opened)
    assert source.tokenizer is not None
    assert written.tokenizer is not None
    assert written.tokenizer.get_vocab() == source.tokenizer.get_vocab()
    assert written.tokenizer.chat_template == source.tokenizer.chat_template
    assert written.tokenizer.eos_token == ("<|done|>" if has_tokenizer else "<|eos|>")
    assert manifest.end_tokens is not None
    assert written.generation.eos_token_id == manifest.end_tokens.ids
    assert len(manifest.end_tokens.ids) == 2
    assert len(manifest.end_tokens.notes) == 1
    assert manifest.end_tokens.notes[0] in manifest.notes


def test_a_tokenizer_that_would_change_is_an_error(
    tmp_path: Path, write_sides: WriteSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, instruct = write_sides(as_adapter=False)
    write_tokenizer(base, template=None)
    write_tokenizer(instruct, template=OWN_TEMPLATE, extra=("<|done|>",), eos_token="<|done|>")

    def lose_the_end(_generation: object, _ends: object, output_dir: Path) -> None:
        path = output_dir / "tokenizer_config.json"
        write_json(path, {**json.loads(path.read_text()), "eos_token": "<|eos|>"})

    monkeypatch.setattr("slr.building.speech.write_end_tokens", lose_the_end)
    with pytest.raises(
        ValueError, match=r"special tokens: 'eos_token': '<\|done\|>' there, '<\|eos\|>' here"
    ):
        build_side(base, instruct, tmp_path / "out", as_adapter=False)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "instruct"}


def test_an_instruct_model_without_a_tokenizer_is_noted(tmp_path: Path, write_sides: WriteSides) -> None:
    base, instruct = write_sides(as_adapter=False)
    write_tokenizer(base, template=None)
    report = build_side(base, instruct, tmp_path / "out", as_adapter=False)
    assert [note for note in report.notes if "has no tokenizer, so the hybrid has none" in note]
    assert not list((tmp_path / "out").glob("*token*"))
    assert report.manifest.end_tokens is None
