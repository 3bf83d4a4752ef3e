"""Opening pairs: what is a pair, what is not and why, and that nothing else than weights is trusted."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from slr.models.checkpoint import open_checkpoint
from slr.models.compatibility import IncompatiblePairError, check_compatible
from slr.models.loading import load_model, load_pair, load_spec
from slr.models.presets import PRESETS, resolve_pair
from slr.models.reference import ModelReference, PairSpec
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES, SLIDING_WINDOW, VOCAB_SIZE, make_checkpoint_pair, make_tokenizer

CopiedPair = Callable[..., tuple[Path, Path]]


@pytest.fixture
def copied_pair(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> CopiedPair:
    """A pair that a test may alter."""

    def copied_pair(architecture: str, **options: object) -> tuple[Path, Path]:
        base, instruct = checkpoint_pairs(architecture, **options)
        for source, name in ((base, "base"), (instruct, "instruct")):
            shutil.copytree(source, tmp_path / name)
        return tmp_path / "base", tmp_path / "instruct"

    return copied_pair


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))


def edit_tensors(directory: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def mismatches(base: Path, instruct: Path) -> tuple[str, ...]:
    with pytest.raises(IncompatiblePairError) as caught:
        check_compatible(open_checkpoint(base), open_checkpoint(instruct))
    assert all(line in str(caught.value) for line in caught.value.mismatches)
    return caught.value.mismatches


# What loads


def test_loading_turns_the_attention_of_cudnn_off(checkpoint_pairs: CheckpointPairs) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    base, instruct = checkpoint_pairs("llama")
    load_pair(base, instruct)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    load_model(instruct)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loads_both_models_as_transformers_does(checkpoint_pairs: CheckpointPairs, architecture: str) -> None:
    paths = checkpoint_pairs(architecture)
    pair = load_pair(*paths)
    assert pair.num_layers == 5
    assert pair.notes == ()
    assert pair.tokenizer.chat_template == AutoTokenizer.from_pretrained(paths[1]).chat_template
    for model, path in ((pair.base_model, paths[0]), (pair.instruct_model, paths[1])):
        expected = AutoModelForCausalLM.from_pretrained(path).state_dict()
        state = model.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in state)
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        attention = "eager" if architecture == "gemma2" else "sdpa"
        assert model.config._attn_implementation == attention


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("llama", "llama"), ("qwen3", "qwen"), ("gemma3", "gemma"), ("olmo2", "olmo2")],
)
def test_family_is_that_of_the_architecture(
    checkpoint_pairs: CheckpointPairs, architecture: str, family: str
) -> None:
    assert load_pair(*checkpoint_pairs(architecture)).family == family


def test_locations_may_be_text_or_references(checkpoint_pairs: CheckpointPairs) -> None:
    base, instruct = checkpoint_pairs("llama")
    pair = load_pair(str(base), ModelReference(str(instruct)))
    assert (pair.base, pair.instruct) == (ModelReference(str(base)), ModelReference(str(instruct)))
    assert pair.name == f"{instruct.parent.name}-instruct"


def test_dtypes_are_converted_to_the_instruct_models(
    tmp_path: Path, checkpoint_pairs: CheckpointPairs
) -> None:
    base, _ = checkpoint_pairs("llama")
    _, instruct = make_checkpoint_pair(tmp_path, "llama", dtype=torch.bfloat16)
    pair = load_pair(base, instruct)
    assert pair.base_model.dtype == pair.instruct_model.dtype == torch.bfloat16
    assert pair.notes == ("base weights are float32 on disk and were converted to bfloat16",)


def test_dtype_and_device_can_be_asked_for(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"), dtype=torch.bfloat16, device="cpu")
    assert pair.base_model.dtype == pair.instruct_model.dtype == torch.bfloat16
    assert len(pair.notes) == 1  # both models were converted alike
    # accelerate's hooks would bind a module to the model it was loaded with
    assert "forward" not in vars(pair.base_model)


def test_load_model(checkpoint_pairs: CheckpointPairs) -> None:
    base, _ = checkpoint_pairs("qwen2")
    loaded = load_model(base)
    assert loaded.reference.location == str(base)
    assert loaded.tokenizer.chat_template is None
    assert loaded.model(torch.arange(5, 20)[None]).logits.shape == (1, 15, VOCAB_SIZE)


def test_opening_reads_shapes_and_no_weights(checkpoint_pairs: CheckpointPairs) -> None:
    _, instruct = checkpoint_pairs("llama", instruct_shard_size="40KB")
    checkpoint = open_checkpoint(instruct)
    tensors = {n: t for shard in instruct.glob("*.safetensors") for n, t in load_file(shard).items()}
    assert {n: e.shape for n, e in checkpoint.index.tensors.items()} == {
        n: t.shape for n, t in tensors.items()
    }
    assert len(checkpoint.index.shards) > 1
    assert checkpoint.problems == ()
    assert checkpoint.dtype == torch.float32
    assert checkpoint.num_layers == 5
    assert checkpoint.layout.num_parameters == sum(t.numel() for t in tensors.values())


def test_preset_pairs_go_by_name() -> None:
    spec = resolve_pair("paper-qwen")
    assert spec.base.location == "Qwen/Qwen2.5-7B"
    with pytest.raises(ValueError, match="revisions of its own"):
        resolve_pair("paper-qwen", base_revision="main")
    with pytest.raises(ValueError, match=r"no pair named 'Qwen/Qwen2\.5-7B'"):
        resolve_pair("Qwen/Qwen2.5-7B")


@pytest.mark.parametrize("spec", PRESETS["testbed"].pairs, ids=lambda spec: spec.name)
def test_testbed_pairs_are_what_the_preset_says(spec: PairSpec) -> None:
    pair = load_pair(spec.name)
    assert (pair.name, pair.family, pair.num_layers) == (spec.name, spec.family, spec.num_layers)
    assert pair.instruct == ModelReference(f"testbed:{spec.family}/instruct")
    assert pair.notes == ()
    assert open_checkpoint(spec.instruct).layout.num_parameters == spec.num_parameters


# What differs harmlessly


def test_settings_that_no_layer_depends_on_may_differ(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    edit_config(base, max_position_embeddings=4096, eos_token_id=3, use_cache=False, attention_dropout=0.1)
    (base / "generation_config.json").unlink()
    pair = load_pair(base, instruct)
    assert pair.notes == ("max_position_embeddings: base 4096, instruct 512; the instruct model's is used",)
    assert pair.instruct_model.config.eos_token_id == [2, 4]


def test_old_and_new_spelling_of_rope_parameters_are_equal(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    new = json.loads((base / "config.json").read_text())["rope_parameters"]
    theta = new.pop("rope_theta")
    edit_config(base, rope_parameters=None, rope_theta=theta, rope_scaling=new)
    assert load_pair(base, instruct).notes == ()


def test_rope_frequencies_in_the_old_spelling_of_gemma3(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("gemma3")
    edit_config(base, rope_parameters=None, rope_theta=1000000, rope_local_base_freq=10000)
    assert load_pair(base, instruct).notes == ()


def test_window_settings_that_are_switched_off_may_differ(copied_pair: CopiedPair) -> None:
    # As in Qwen2.5-0.5B and its instruct model.
    base, instruct = copied_pair("qwen2")
    edit_config(base, use_sliding_window=False, sliding_window=32, max_window_layers=5, layer_types=None)
    edit_config(instruct, use_sliding_window=False, sliding_window=64, max_window_layers=3, layer_types=None)
    assert load_pair(base, instruct).notes == ()


def test_special_tokens_may_be_added_on_the_instruct_side(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    tokenizer = AutoTokenizer.from_pretrained(instruct)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    tokenizer.save_pretrained(instruct)
    assert load_pair(base, instruct).notes == (
        "the instruct tokenizer has 1 tokens that the base lacks ('<|tool|>')",
    )


def test_base_without_tokenizer(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    for path in base.glob("tokenizer*"):
        path.unlink()
    assert load_pair(base, instruct).notes == (
        "the base checkpoint has no tokenizer, so token ids were not compared",
    )


def test_tied_head_may_be_stored_on_one_side(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama", tied=True)
    assert "lm_head.weight" not in load_file(instruct / "model.safetensors")

    def store_head(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    edit_tensors(instruct, store_head)
    assert load_pair(base, instruct).notes == ()


def test_tensor_that_the_model_has_no_use_for(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_tensors(base, lambda tensors: tensors.update({name: torch.ones(4)}))
    assert load_pair(base, instruct).notes == (
        f"1 tensors on disk belong to no part of the model, such as {name}",
    )


# What is no pair

CONFIG_MISMATCHES = [
    ("llama", {"hidden_size": 48}, "hidden_size: base 48, instruct 32"),
    ("llama", {"intermediate_size": 80}, "intermediate_size: base 80, instruct 64"),
    ("llama", {"num_attention_heads": 8}, "num_attention_heads: base 8, instruct 4"),
    ("llama", {"num_key_value_heads": 4}, "num_key_value_heads: base 4, instruct 2"),
    ("llama", {"head_dim": 16}, "head_dim: base 16, instruct 8"),
    ("llama", {"vocab_size": 400}, f"vocab_size: base 400, instruct {VOCAB_SIZE}"),
    ("llama", {"rms_norm_eps": 1e-4}, "rms_norm_eps: base 0.0001, instruct 1e-06"),
    ("llama", {"hidden_act": "gelu"}, "hidden_act: base gelu, instruct silu"),
    ("llama", {"attention_bias": True}, "attention_bias: base True, instruct False"),
    ("llama", {"tie_word_embeddings": True}, "tie_word_embeddings: base True, instruct False"),
    (
        "llama",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
        "rope_parameters.rope_theta: base 500000.0, instruct 10000.0",
    ),
    (
        "llama",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
        "rope_parameters.factor: base None, instruct 8.0",
    ),
    (
        "gemma3",
        {
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
                "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            }
        },
        "rope_parameters.sliding_attention.rope_theta: base 5000.0, instruct 10000.0",
    ),
    ("mistral", {"sliding_window": 16}, f"sliding_window: base 16, instruct {SLIDING_WINDOW}"),
    (
        "gemma2",
        {"layer_types": ["full_attention"] * 5},
        "layer_types[0]: base full_attention, instruct sliding_attention (and 2 more entries)",
    ),
    ("gemma2", {"attn_logit_softcapping": 20.0}, "attn_logit_softcapping: base 20.0, instruct 50.0"),
    ("gemma2", {"final_logit_softcapping": 20.0}, "final_logit_softcapping: base 20.0, instruct 30.0"),
    ("gemma2", {"query_pre_attn_scalar": 16}, "query_pre_attn_scalar: base 16, instruct 8"),
    ("gemma2", {"hidden_activation": "silu"}, "hidden_activation: base silu, instruct gelu_pytorch_tanh"),
]


@pytest.mark.parametrize(
    ("architecture", "changes", "line"), CONFIG_MISMATCHES, ids=[line for _, _, line in CONFIG_MISMATCHES]
)
def test_configuration_mismatch(
    copied_pair: CopiedPair, architecture: str, changes: dict[str, Any], line: str
) -> None:
    base, instruct = copied_pair(architecture)
    edit_config(base, **changes)
    assert line in mismatches(base, instruct)


def test_architecture_mismatch(checkpoint_pairs: CheckpointPairs) -> None:
    (base, _), (_, instruct) = checkpoint_pairs("mistral"), checkpoint_pairs("llama")
    assert "architecture: base MistralForCausalLM, instruct LlamaForCausalLM" in mismatches(base, instruct)


def test_layer_count_mismatch_says_which_tensors_lack(checkpoint_pairs: CheckpointPairs) -> None:
    (base, _), (_, instruct) = checkpoint_pairs("llama", num_layers=3), checkpoint_pairs("llama")
    lines = mismatches(base, instruct)
    assert "num_hidden_layers: base 3, instruct 5" in lines
    assert "tensor model.layers.{3,4}.mlp.up_proj.weight: base missing, instruct (64, 32)" in lines
    assert len(lines) == 1 + 9  # a Llama layer has nine tensors


def test_all_mismatches_are_in_one_error(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    edit_config(base, hidden_act="gelu", rms_norm_eps=1e-4)
    (base / "model.safetensors").unlink()
    (base / "model.safetensors").write_bytes(b"")
    lines = mismatches(base, instruct)
    assert [line.split(":")[0] for line in lines] == ["rms_norm_eps", "hidden_act", "base"]


def test_no_weight_is_loaded_before_the_mismatch_is_known(
    copied_pair: CopiedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, instruct = copied_pair("llama")
    edit_config(base, hidden_act="gelu")
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("weights read"))
    with pytest.raises(IncompatiblePairError, match="hidden_act: base gelu, instruct silu"):
        load_pair(base, instruct)


def test_token_with_another_id(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    path = base / "tokenizer.json"
    fields = json.loads(path.read_text())
    vocabulary = fields["model"]["vocab"]
    ids = vocabulary["a"], vocabulary["b"]
    vocabulary["a"], vocabulary["b"] = ids[1], ids[0]
    path.write_text(json.dumps(fields))
    assert mismatches(base, instruct) == (
        f"id of token 'a': base {ids[1]}, instruct {ids[0]} (and 1 more tokens)",
    )


def test_tokens_of_another_vocabulary(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    path = base / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    fields = json.loads(text)
    fields["model"]["vocab"]["q!"] = fields["model"]["vocab"].pop("Ġq")
    fields["model"]["merges"] = [merge for merge in fields["model"]["merges"] if merge != ["Ġ", "q"]]
    path.write_text(json.dumps(fields))
    assert mismatches(base, instruct) == (
        "vocabulary: base has 1 tokens that instruct lacks ('q!'), instruct has 1 that base lacks ('Ġq')",
    )


def test_more_tokens_than_embeddings(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    tokenizer = AutoTokenizer.from_pretrained(instruct)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|new-{i}|>" for i in range(20)]})
    tokenizer.save_pretrained(instruct)
    largest = len(make_tokenizer()) + 20 - 1
    (line,) = mismatches(base, instruct)
    assert line.startswith("tokens: instruct adds 7 with ids beyond its embedding")
    assert line.endswith(f"largest id {largest}, vocab_size {VOCAB_SIZE}")


def test_token_beyond_the_embedding_that_both_have(copied_pair: CopiedPair) -> None:
    # Gemma 3's text models have one: <image_soft_token>, whose embedding only the larger ones have.
    pair = copied_pair("gemma3")
    for path in pair:
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.add_special_tokens({"additional_special_tokens": [f"<|new-{i}|>" for i in range(20)]})
        tokenizer.save_pretrained(path)
    assert load_pair(*pair).notes == ()


def test_field_that_the_architecture_does_not_have(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("gemma2")
    edit_config(base, hidden_act="gelu")
    assert load_pair(base, instruct).notes == ()


def test_tensor_of_another_shape(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    name = "model.layers.2.mlp.up_proj.weight"
    edit_tensors(base, lambda tensors: tensors.update({name: tensors[name][:48].clone()}))
    assert f"tensor {name}: base (48, 32), instruct (64, 32)" in mismatches(base, instruct)
    assert f"base: tensor {name}: configuration (64, 32), weights (48, 32)" in mismatches(base, instruct)


def test_tensor_that_is_missing(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    edit_tensors(instruct, lambda tensors: tensors.pop("model.norm.weight"))
    expected = "instruct: tensor model.norm.weight: configuration (32,), weights missing"
    assert mismatches(base, instruct) == (expected,)
    with pytest.raises(ValueError, match=r"model\.norm\.weight.*missing"):
        load_model(instruct)


# Damaged and foreign weight files


@pytest.fixture
def sharded_pair(copied_pair: CopiedPair) -> tuple[Path, Path]:
    return copied_pair("llama", base_shard_size="40KB")


def first_shard(directory: Path) -> Path:
    return sorted(directory.glob("model-*.safetensors"))[0]


def test_missing_shard(sharded_pair: tuple[Path, Path]) -> None:
    base, instruct = sharded_pair
    shard = first_shard(base)
    shard.unlink()
    assert mismatches(base, instruct) == (f"base: shard {shard.name} is missing",)
    with pytest.raises(ValueError, match=f"the weights of .* cannot be used: shard {shard.name} is missing"):
        load_model(base)


def test_truncated_shard(sharded_pair: tuple[Path, Path]) -> None:
    base, instruct = sharded_pair
    shard = first_shard(base)
    size = shard.stat().st_size
    with shard.open("r+b") as file:
        file.truncate(size - 10)
    (line,) = mismatches(base, instruct)
    assert line == (
        f"base: shard {shard.name} cannot be used: it is truncated (its header describes {size} bytes, "
        f"the file has {size - 10})"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is truncated or no safetensors file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "it is truncated or no safetensors file",
        ),
        ((9).to_bytes(8, "little") + b"not json!", "its header is corrupt (it is not readable"),
        ((2).to_bytes(8, "little") + b"[]", "its header is corrupt"),
        ((2).to_bytes(8, "little") + b"{}" + b"rest", "it is too long (its header describes 10 bytes"),
    ],
)
def test_corrupt_shard(sharded_pair: tuple[Path, Path], content: bytes, reason: str) -> None:
    base, instruct = sharded_pair
    shard = first_shard(base)
    shard.write_bytes(content)
    (line,) = mismatches(base, instruct)
    assert line.startswith(f"base: shard {shard.name} cannot be used: {reason}")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "takes 12 bytes, the header gives it 8"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, "begins at"),
        ({"dtype": "F4", "shape": [2], "data_offsets": [0, 8]}, "has dtype F4, which is not supported"),
        ({"dtype": "F32", "shape": [2]}, "and data_offsets None"),
    ],
)
def test_inconsistent_header(sharded_pair: tuple[Path, Path], entry: dict[str, object], reason: str) -> None:
    base, instruct = sharded_pair
    header = json.dumps({"x": entry}).encode()
    first_shard(base).write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (line,) = mismatches(base, instruct)
    assert reason in line


def test_index_that_does_not_fit_the_shards(sharded_pair: tuple[Path, Path]) -> None:
    base, instruct = sharded_pair
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    shard = first_shard(base).name
    name = next(name for name, other in index["weight_map"].items() if other == shard)
    index["weight_map"]["model.more.weight"] = shard
    del index["weight_map"][name]
    path.write_text(json.dumps(index))
    assert mismatches(base, instruct) == (
        f"base: tensor model.more.weight should be in shard {shard} by the index, but is not there",
        f"base: tensor {name} is in shard {shard}, but the index does not say so",
    )


@pytest.mark.parametrize("index", ["{", "{}", "[1]", '{"weight_map": {"x": 1}}'])
def test_index_that_is_none(sharded_pair: tuple[Path, Path], index: str) -> None:
    base, _ = sharded_pair
    (base / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match="is not a readable index of weights"):
        open_checkpoint(base)


def test_index_that_leads_elsewhere(sharded_pair: tuple[Path, Path]) -> None:
    base, _ = sharded_pair
    (base / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../other.safetensors"}}')
    with pytest.raises(ValueError, match="names a shard that is not in its directory"):
        open_checkpoint(base)


def test_pickle_weights_are_refused(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"pickle files only \(pytorch_model.bin\).*convert .* to safetensors"
    ):
        load_pair(base, instruct)


def test_directory_without_weights(copied_pair: CopiedPair) -> None:
    base, _ = copied_pair("llama")
    (base / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no weights: expected model.safetensors"):
        open_checkpoint(base)


# What cannot be opened


def test_instruct_model_without_chat_template(checkpoint_pairs: CheckpointPairs) -> None:
    base, instruct = checkpoint_pairs("llama")
    with pytest.raises(
        ValueError, match=r"has no chat template.*base model is given first.*chat_template.jinja"
    ):
        load_pair(instruct, base)


def test_instruct_model_without_tokenizer(copied_pair: CopiedPair) -> None:
    base, instruct = copied_pair("llama")
    for path in instruct.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"the instruct model .* has no tokenizer"):
        load_pair(base, instruct)
    with pytest.raises(ValueError, match=r"has no tokenizer: expected tokenizer\.json"):
        load_model(instruct)


def test_model_whose_only_file_is_truncated(copied_pair: CopiedPair) -> None:
    base, _ = copied_pair("llama")
    (base / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be used: shard model\.safetensors cannot be used"):
        load_model(base)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}},
            "has model type 'strange', which needs code from its own repository, which is never run",
        ),
        ({"model_type": "strange"}, "has model type 'strange', which is not known to the installed version"),
        ({"model_type": None}, "has model type None"),
        ({"model_type": "bert"}, "is no decoder-only language model with a list of decoder layers"),
        ({"model_type": "t5"}, "has an encoder besides its decoder"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "is quantized"),
        ({"num_hidden_layers": "many"}, "config.json of .* is not valid"),
    ],
)
def test_configuration_that_cannot_be_used(
    copied_pair: CopiedPair, changes: dict[str, Any], message: str
) -> None:
    base, _ = copied_pair("llama")
    edit_config(base, **changes)
    with pytest.raises(ValueError, match=message):
        open_checkpoint(base)


def test_code_in_a_checkpoint_is_not_run(copied_pair: CopiedPair, tmp_path: Path) -> None:
    base, instruct = copied_pair("llama")
    (base / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\n")
    edit_config(base, auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Model"})
    load_pair(base, instruct)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_unreadable_configuration(copied_pair: CopiedPair, content: str) -> None:
    base, _ = copied_pair("llama")
    (base / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json of .* is not readable|has model type None"):
        open_checkpoint(base)


def test_directory_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config\.json: expected the directory of a checkpoint"):
        open_checkpoint(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="has an adapter: give the model that it was"):
        open_checkpoint(tmp_path)


def test_adapter_beside_the_weights(copied_pair: CopiedPair) -> None:
    base, _ = copied_pair("llama")
    (base / "adapter_config.json").write_text('{"base_model_name_or_path": "somewhere/else"}')
    with pytest.raises(ValueError, match="has an adapter: give the model that it was"):
        open_checkpoint(base)


def test_unreadable_tokenizer(copied_pair: CopiedPair) -> None:
    base, _ = copied_pair("llama")
    (base / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=re.escape(f"the tokenizer of {base} cannot be opened")):
        open_checkpoint(base)


def test_a_device_map_goes_to_transformers(checkpoint_pairs: CheckpointPairs) -> None:
    spec = resolve_pair(*checkpoint_pairs("llama"))
    pair = load_spec(spec, device_map={"": "cpu"})
    expected = load_spec(spec).instruct_model.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in pair.instruct_model.state_dict().items())
    with pytest.raises(ValueError, match="device_map"):
        load_spec(spec, device_map="somewhere")
    with pytest.raises(ValueError, match="not both"):
        load_spec(spec, device_map="auto", stream=True)


def test_what_does_not_fit_the_devices_of_a_map_is_an_error(checkpoint_pairs: CheckpointPairs) -> None:
    everywhere = {
        "model.embed_tokens": "cpu",
        "model.rotary_emb": "cpu",
        "model.norm": "cpu",
        "lm_head": "cpu",
    }
    layers = {f"model.layers.{index}": "disk" if index == 1 else "cpu" for index in range(5)}
    with pytest.raises(ValueError, match="does not fit the devices of its device map"):
        load_spec(resolve_pair(*checkpoint_pairs("llama")), device_map={**everywhere, **layers})
