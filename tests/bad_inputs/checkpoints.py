"""Models, adapters and chat templates that are of no use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.case import Area, BadInput

SEARCH = "slr search base instruct --output-dir out --device cpu"
BUILD = "slr build base instruct --layers 1:2 --output out"
SCORE = "slr score instruct --device cpu"
SEARCH_ADAPTER = "slr search base --adapter adapter --output-dir out --device cpu"
BUILD_ADAPTER = "slr build base --adapter adapter --layers 1:2 --output out"
SMALL_ADAPTER = f"{BUILD_ADAPTER} --as-adapter"
BORROWED = "slr score base --chat-template-from instruct --device cpu"

DEEP = "[" * 100_000 + "]" * 100_000
BACKTRACKING = r"(?=(\w+\.?)+!).*|(.|..|...)+\1!"
HEADER: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

Change = Callable[[Path], object]


def changed(file: str, **fields: object) -> Change:
    """Overwrite fields of a file of JSON."""

    def change(here: Path) -> None:
        path = here / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


def without(file: str, field: str) -> Change:
    """Take a field out of a file of JSON."""

    def change(here: Path) -> None:
        fields = json.loads((here / file).read_text())
        del fields[field]
        (here / file).write_text(json.dumps(fields))

    return change


def written(file: str, content: str | bytes) -> Change:
    """Write a file anew."""
    return lambda here: (here / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def removed(pattern: str) -> Change:
    """Remove files."""

    def change(here: Path) -> None:
        for path in here.glob(pattern):
            path.unlink()

    return change


def renamed(file: str, new: str) -> Change:
    """Give a file another name."""
    return lambda here: (here / file).rename(here / new)


def cut(file: str) -> Change:
    """Leave the last bytes of a file out."""
    return lambda here: os.truncate(here / file, (here / file).stat().st_size - 40)


def with_header(file: str, tensor: object) -> Change:
    """Write a weight file with one tensor of that description."""
    header = json.dumps({"a": tensor}).encode()
    return written(file, len(header).to_bytes(8, "little") + header + bytes(8))


def with_tensors(file: str, change_tensor: Callable[[str, torch.Tensor], torch.Tensor]) -> Change:
    """Change every tensor of a weight file."""

    def change(here: Path) -> None:
        tensors = load_file(here / file)
        save_file({name: change_tensor(name, tensor) for name, tensor in tensors.items()}, here / file)

    return change


def with_exchanged_tokens(here: Path) -> None:
    """Give two letters each other's id."""
    data = json.loads((here / "instruct" / "tokenizer.json").read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["x"], vocabulary["y"] = vocabulary["y"], vocabulary["x"]
    (here / "instruct" / "tokenizer.json").write_text(json.dumps(data))


def without_a_token(here: Path) -> None:
    """No token is left that stands for the digit 7 alone."""
    for side in ("base", "instruct"):
        data = json.loads((here / side / "tokenizer.json").read_text())
        vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
        vocabulary["77"], vocabulary["Ġ77"] = vocabulary.pop("7"), vocabulary.pop("Ġ7")
        data["model"]["merges"] = [merge for merge in merges if "7" not in "".join(merge)]
        (here / side / "tokenizer.json").write_text(json.dumps(data))


def _case(area: Area, name: str, words: list[str], prepare: Change, line: str) -> BadInput:
    return BadInput(area, line, words, prepare=prepare, name=name)


_model, _adapter, _prompts = partial(_case, "models"), partial(_case, "adapters"), partial(_case, "prompts")

MODELS: tuple[BadInput, ...] = (
    BadInput("models", "slr score ~nosuchuser/model", ["~nosuchuser is no user's home directory"]),
    BadInput("models", "slr score a\0b", ["no hub id either", "expected ORGANISATION/MODEL"]),
    BadInput("models", f"slr score {'x' * 5000}", ["expected ORGANISATION/MODEL"], name="a name of 5000 letters"),
    BadInput("models", "slr score /dev/null", ["/dev/null is a file", "expected the directory of a checkpoint"]),
    BadInput("models", "slr build a/b a/c --layers 0:1 --output out", ["a/b"], name="a hub that is not reached"),
    _model("no config.json", ["base has no config.json", "expected"], removed("base/config.json"), SEARCH),
    _model(
        "model_type is a list", ["has model type ['llama']"],
        changed("base/config.json", model_type=["llama"]), BUILD,
    ),
    _model(
        "code of its own",
        ["needs code from its own repository, which is never run"],
        changed("instruct/config.json", model_type="mine", auto_map={"AutoModel": "mine.Model"}),
        SCORE,
    ),
    _model(
        "ten million layers",
        ["says num_hidden_layers 10000000, but its weight files hold"],
        changed("instruct/config.json", num_hidden_layers=10_000_000),
        SCORE,
    ),
    _model(
        "a size is a text", ["config.json of base is not valid"],
        changed("base/config.json", hidden_size="32"), SEARCH,
    ),
    _model(
        "quantized",
        ["instruct is quantized (fp8)", "take the model that it was made from"],
        changed("instruct/config.json", quantization_config={"quant_method": "fp8"}),
        BUILD,
    ),
    _model("deep JSON", ["config.json of instruct", "nested too deeply"], written("instruct/config.json", DEEP), SCORE),
    _model("JSON is none", ["config.json of base"], written("base/config.json", "{"), BUILD),
    _model(
        "a pipe", ["config.json of base is a pipe: expected a regular file"],
        lambda here: (removed("base/config.json")(here), os.mkfifo(here / "base" / "config.json")),
        SEARCH,
    ),
    _model(
        "a header with an odd dtype",
        ["shard model.safetensors cannot be used: its header is corrupt"],
        with_header("base/model.safetensors", {**HEADER, "dtype": ["F32"]}),
        BUILD,
    ),
    _model(
        "a header larger than its file",
        ["instruct", "shard model.safetensors cannot be used: it is "],
        written("instruct/model.safetensors", (10**12).to_bytes(8, "little") + b"{}"),
        SCORE,
    ),
    _model("a weight file that is cut", ["base: shard model.safetensors"], cut("base/model.safetensors"), SEARCH),
    _model(
        "no weights", ["instruct has no weights: expected model.safetensors"],
        removed("instruct/*.safetensors"), SCORE,
    ),
    _model(
        "pickled weights",
        ["base has its weights in pickle files only", "convert the checkpoint to safetensors"],
        renamed("base/model.safetensors", "base/pytorch_model.bin"),
        BUILD,
    ),
    _model(
        "an index that leads elsewhere",
        ["instruct", "index"],
        lambda here: (
            renamed("instruct/model.safetensors", "instruct/x.safetensors")(here),
            written("instruct/model.safetensors.index.json", '{"weight_map": {"a": "/etc/passwd"}}')(here),
        ),
        BUILD,
    ),
    _model(
        "NaN",
        ["instruct", "model.layers.2.mlp.up_proj.weight"],
        with_tensors(
            "instruct/model.safetensors", lambda name, t: t * float("nan") if "2.mlp.up_proj" in name else t
        ),
        SEARCH,
    ),
    _model(
        "another configuration",
        ["layers cannot be restored from base (base) to instruct (instruct)", "rms_norm_eps: base 0.5"],
        changed("base/config.json", rms_norm_eps=0.5),
        BUILD,
    ),
    _model(
        "an adapter beside the weights",
        ["instruct has an adapter", "--adapter"],
        written("instruct/adapter_config.json", "{}"),
        SEARCH,
    ),
    _model(
        "base and instruct exchanged",
        ["the instruct model base has no chat template", "the base model is given first"],
        lambda _: None,
        "slr search instruct base --output-dir out --device cpu",
    ),
)  # fmt: skip

CONFIG, TENSORS = "adapter/adapter_config.json", "adapter/adapter_model.safetensors"
ADAPTERS: tuple[BadInput, ...] = (
    BadInput(
        "adapters", "slr build base --adapter base --layers 1:2 --output out", ["base has no adapter_config.json"],
    ),
    BadInput("adapters", "slr build base --adapter FILE --layers 1:2 --output out", ["FILE is a file"]),
    BadInput("adapters", f"{BUILD_ADAPTER} --alpha 2", ["alpha is 2", "(0, 1]"]),
    BadInput("adapters", f"{SMALL_ADAPTER} --verify", ["--verify is for checkpoints", "leave it out"]),
    BadInput(
        "adapters", "slr build base instruct --as-adapter --layers 1:2 --output out", ["--as-adapter needs --adapter"]
    ),
    _adapter("no configuration", ["adapter has no adapter_config.json"], removed(CONFIG), SEARCH_ADAPTER),
    _adapter(
        "a configuration that is none", ["adapter_config.json", "expected a JSON object"],
        written(CONFIG, "[]"), SMALL_ADAPTER,
    ),
    _adapter("no LoRA", ["is of type 'IA3'", "expected LORA"], changed(CONFIG, peft_type="IA3"), BUILD_ADAPTER),
    _adapter(
        "a rank below 0", ["r in adapter_config.json of adapter is -4", "expected"],
        changed(CONFIG, r=-4), SEARCH_ADAPTER,
    ),
    _adapter(
        "no alpha", ["lora_alpha in adapter_config.json of adapter is missing"],
        without(CONFIG, "lora_alpha"), SMALL_ADAPTER,
    ),
    _adapter(
        "no expression", ["target_modules in adapter_config.json"],
        changed(CONFIG, target_modules="("), BUILD_ADAPTER,
    ),
    _adapter(
        "an expression that never ends", ["target_modules", "takes too long to match"],
        changed(CONFIG, target_modules=BACKTRACKING), BUILD_ADAPTER,
    ),
    _adapter(
        "names as a text", ["modules_to_save", "expected a list"],
        changed(CONFIG, modules_to_save="lm_head"), SMALL_ADAPTER,
    ),
    _adapter("no bias", ["bias in", "expected none, all or lora_only"], changed(CONFIG, bias="some"), SEARCH_ADAPTER),
    _adapter(
        "no such start", ["init_lora_weights", "'magic'"],
        changed(CONFIG, init_lora_weights="magic"), BUILD_ADAPTER,
    ),
    _adapter(
        "repeated layers", ["layer_replication", "none can be restored"],
        changed(CONFIG, layer_replication=[[0, 2], [1, 2]]), BUILD_ADAPTER,
    ),
    _adapter(
        "a lost start", ["init_lora_weights", "call merge_and_unload"],
        changed(CONFIG, init_lora_weights="corda"), SEARCH_ADAPTER,
    ),
    _adapter(
        "for quantized models", ["use_qalora", "set use_qalora to false"],
        changed(CONFIG, use_qalora=True), SMALL_ADAPTER,
    ),
    _adapter(
        "some tokens only", ["alora_invocation_tokens"],
        changed(CONFIG, alora_invocation_tokens=[5]), SEARCH_ADAPTER,
    ),
    _adapter("no tensors", ["adapter"], removed(TENSORS), BUILD_ADAPTER),
    _adapter(
        "pickled tensors", ["adapter", "safetensors"],
        renamed(TENSORS, "adapter/adapter_model.bin"), BUILD_ADAPTER,
    ),
    _adapter("a file that is cut", ["adapter_model.safetensors of", "truncated"], cut(TENSORS), SMALL_ADAPTER),
    _adapter(
        "infinity", ["holds NaN or infinity in"], with_tensors(TENSORS, lambda _, t: t + float("inf")), BUILD_ADAPTER
    ),
)  # fmt: skip

TEMPLATE = "instruct/chat_template.jinja"
PROMPTS: tuple[BadInput, ...] = (
    BadInput("prompts", "slr score base --device cpu", ["base has no chat template: give --chat-template-from"]),
    BadInput("prompts", "slr score base --chat-template-from FILE --device cpu", ["FILE is a file"]),
    BadInput("prompts", "slr score instruct --chat-template-from base --device cpu", ["base has no chat template"]),
    _prompts("no end of a loop", ["TemplateSyntaxError"], written(TEMPLATE, "{% for m in messages %}"), SCORE),
    _prompts("no such filter", ["nosuchfilter"], written(TEMPLATE, "{{ messages[0].content | nosuchfilter }}"), SEARCH),
    _prompts("another file", ["chat_template.jinja"], written(TEMPLATE, "{% include '/etc/passwd' %}"), BORROWED),
    _prompts("Python's insides", ["SecurityError"], written(TEMPLATE, "{{ ''.__class__.__mro__ }}"), SCORE),
    _prompts(
        "refuses the request", ["no requests here"],
        written(TEMPLATE, "{{ raise_exception('no requests here') }}"), SEARCH,
    ),
    _prompts("a constant", ["leaves the user's message out"], written(TEMPLATE, "<|start|>user"), BORROWED),
    _prompts(
        "an endless number", ["instruct/chat_template.jinja", "5 seconds"],
        written(TEMPLATE, "{{ 9 ** (9 ** 9) }}"), SCORE,
    ),
    _prompts(
        "a hundred million letters", ["characters"],
        written(TEMPLATE, "{{ messages[0].content * 10 ** 7 }}"), SEARCH,
    ),
    _prompts("empty", ["no chat template"], written(TEMPLATE, ""), SEARCH),
    _prompts("not UTF-8", ["chat_template.jinja"], written(TEMPLATE, b"caf\xe9 {{ messages }}"), SCORE),
    _prompts(
        "a template that is a number", ["the chat template in instruct/tokenizer_config.json"],
        lambda here: (removed(TEMPLATE)(here), changed("instruct/tokenizer_config.json", chat_template=5)(here)), SCORE,
    ),
    _prompts(
        "a tokenizer that is none", ["the tokenizer of instruct cannot be opened"],
        written("instruct/tokenizer.json", "{"), SEARCH,
    ),
    _prompts(
        "no vocabulary", ["has no vocabulary: expected a file such as"],
        removed("instruct/tokenizer.json"), BORROWED,
    ),
    _prompts("no tokenizer", ["instruct has no tokenizer"], removed("instruct/*token*"), SCORE),
    _prompts("another vocabulary", ["id of token 'x'", "with the same tokenizer"], with_exchanged_tokens, BORROWED),
    _prompts("a digit that is no token", ["no single token for '7'"], without_a_token, SEARCH),
    _prompts(
        "a token beyond the embedding", ["instruct"], changed("instruct/config.json", vocab_size=200), SCORE,
    ),
)  # fmt: skip
