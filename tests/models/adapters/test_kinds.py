"""Every kind of LoRA adapter that peft makes: merged as peft merges it, or refused with advice that works."""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.config import (
    BdLoraConfig,
    CordaConfig,
    KasaConfig,
    LoraGAConfig,
    MontecloraConfig,
    VeloraConfig,
)
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from slr.building.adapter import build_adapter
from slr.building.checkpoint import build
from slr.building.options import BuildOptions
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.compatibility import IncompatiblePairError
from slr.models.loading import ModelPair, load_pair
from slr.models.presets import resolve_pair
from slr.models.quiet_libraries import quiet_libraries
from tests.tiny_adapters import by_peft, change_config, make_adapter, move, relative_difference, train
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

EXACT = 1e-5
INTERVAL = LayerInterval(1, 2)
ATTENTION = ["q_proj", "v_proj"]
EMBEDDING, HEAD = ["embed_tokens"], ["lm_head"]
TOKENS_OF_BOTH = {"embed_tokens": [5, 9, 80], "lm_head": [5, 9, 80]}

KINDS: dict[str, dict[str, Any]] = {
    "all linear layers": {},
    "expression": {"target_modules": r".*\.layers\.[0-2]\.(self_attn\.[qv]_proj|mlp\.down_proj)"},
    "excluded": {"target_modules": ATTENTION, "exclude_modules": ["1.self_attn.q_proj"]},
    "excluded by expression": {"target_modules": ATTENTION, "exclude_modules": r".*\.2\..*v_proj"},
    "patterns": {
        "target_modules": ATTENTION,
        "rank_pattern": {r"1\.self_attn\.q_.*": 2, "v_proj": 3, r".*[02]\.\w+\.q_proj": 5},
        "alpha_pattern": {r"^model.layers.0.self_attn.v_proj": 9, "q_proj": 3},
    },
    "rank-stabilised": {"use_rslora": True, "rank_pattern": {"up_proj": 9}},
    "some layers": {"target_modules": ATTENTION, "layers_to_transform": [0, 2], "layers_pattern": "layers"},
    "one layer": {"target_modules": ATTENTION, "layers_to_transform": 1},
    "parameters": {
        "target_modules": ATTENTION,
        "target_parameters": ["mlp.up_proj.weight", "mlp.down_proj.weight"],
    },
    "parameters only": {"target_modules": [], "target_parameters": ["mlp.up_proj.weight"]},
    "DoRA": {"use_dora": True},
    "PiSSA": {"init_lora_weights": "pissa", "target_modules": ATTENTION},
    "OLoRA": {"init_lora_weights": "olora", "target_modules": ATTENTION},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "EVA": {"init_lora_weights": "eva"},
    "MiCA": {"init_lora_weights": "mica", "target_modules": ATTENTION},
    "no initialisation": {"init_lora_weights": False},
    "fan in, fan out": {"fan_in_fan_out": True},
    "norms in full": {"target_modules": ATTENTION, "modules_to_save": ["norm"]},
    "tokens": {"target_modules": ATTENTION, "trainable_token_indices": [5, 9, 80]},
    "tokens by name": {"target_modules": ATTENTION, "trainable_token_indices": {"embed_tokens": [5, 80]}},
    "tokens of both": {"target_modules": ATTENTION, "trainable_token_indices": TOKENS_OF_BOTH},
    "base embedding": {"target_modules": ATTENTION, "save": {"save_embedding_layers": True}},
    "tokens and base embedding": {
        "target_modules": ATTENTION,
        "trainable_token_indices": [5, 9],
        "save": {"save_embedding_layers": True},
    },
}

UNTIED: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ATTENTION + EMBEDDING},
    "head": {"target_modules": ATTENTION + HEAD},
    "both": {"target_modules": ATTENTION + EMBEDDING + HEAD},
    "both without base": {
        "target_modules": ATTENTION + EMBEDDING + HEAD,
        "save": {"save_embedding_layers": False},
    },
    "both, tying asked for": {"target_modules": ATTENTION + EMBEDDING + HEAD, "ensure_weight_tying": True},
    "DoRA on the embedding": {"target_modules": ATTENTION + EMBEDDING, "use_dora": True},
    "MiCA on the embedding": {"target_modules": ATTENTION + EMBEDDING, "init_lora_weights": "mica"},
    "embedding in full": {"target_modules": ATTENTION, "modules_to_save": EMBEDDING},
    "embedding in full, with base": {
        "target_modules": ATTENTION,
        "modules_to_save": EMBEDDING,
        "save": {"save_embedding_layers": True},
    },
    "head in full": {"target_modules": ATTENTION, "modules_to_save": HEAD},
    "tokens of the head": {"target_modules": ATTENTION, "trainable_token_indices": {"lm_head": [5, 9]}},
}

TIED_TOGETHER: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ATTENTION + EMBEDDING, "ensure_weight_tying": True},
    "head": {"target_modules": ATTENTION + HEAD, "ensure_weight_tying": True},
    "both": {
        "target_modules": ATTENTION + EMBEDDING + HEAD,
        "ensure_weight_tying": True,
        "save": {"save_embedding_layers": False},
    },
    "expression": {"target_modules": ".*(embed_tokens|q_proj)", "ensure_weight_tying": True},
    "in full": {"target_modules": ATTENTION, "modules_to_save": EMBEDDING, "ensure_weight_tying": True},
    "both in full, with base": {
        "target_modules": ATTENTION,
        "modules_to_save": EMBEDDING + HEAD,
        "ensure_weight_tying": True,
        "save": {"save_embedding_layers": True},
    },
    "tokens": {"target_modules": ATTENTION, "trainable_token_indices": [5, 9], "ensure_weight_tying": True},
}

TIED_APART: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ATTENTION + EMBEDDING},
    "head": {"target_modules": ATTENTION + HEAD},
    "both": {"target_modules": ATTENTION + EMBEDDING + HEAD},
    "both without base": {
        "target_modules": ATTENTION + EMBEDDING + HEAD,
        "save": {"save_embedding_layers": False},
    },
    "embedding in full": {"target_modules": ATTENTION, "modules_to_save": EMBEDDING},
    "head in full": {"target_modules": ATTENTION, "modules_to_save": HEAD},
    "both in full": {"target_modules": ATTENTION, "modules_to_save": EMBEDDING + HEAD},
    "tokens of the head": {"target_modules": ATTENTION, "trainable_token_indices": {"lm_head": [5, 9]}},
    "other tokens": {
        "target_modules": ATTENTION,
        "trainable_token_indices": {"embed_tokens": [5, 9], "lm_head": [5]},
    },
}

BIASES: dict[str, dict[str, Any]] = {
    "of LoRA layers": {"target_modules": ["q_proj"], "bias": "lora_only"},
    "all": {"target_modules": ["q_proj"], "bias": "all"},
    "LoRA's own": {"target_modules": ["q_proj", "k_proj"], "lora_bias": True},
}

NOT_AS_ADAPTER: dict[str, tuple[float, ...]] = {
    "DoRA": (0.5,),
    "DoRA on the embedding": (0.5,),
    "PiSSA": (0.5,),
    "OLoRA": (0.5,),
    "one layer": (1.0,),
    "norms in full": (1.0, 0.5),
    "of LoRA layers": (1.0, 0.5),
    "all": (1.0, 0.5),
}
"""Kinds, and at which alphas their hybrids cannot be adapters of that kind."""


def check_merged(base: Path, adapter: Path, *, merged: bool = True) -> ModelPair:
    """The instruct model in memory is what peft computes with the adapter, and what it merges."""
    pair = load_pair(base, adapter=adapter)
    assert relative_difference(pair.instruct_model, by_peft(base, adapter)) < EXACT
    if merged:
        assert relative_difference(pair.instruct_model, by_peft(base, adapter, merge=True)) < EXACT
    return pair


def check_hybrids(
    base: Path, adapter: Path, pair: ModelPair, directory: Path, not_as_adapter: Collection[float] = ()
) -> None:
    """Restored whole and by half, in memory and, but for some alphas, as an adapter."""
    reference = by_peft(base, adapter)
    for alpha in (1.0, 0.5):
        expected = hybrid_by_hand(pair, reference, alpha)
        assert relative_difference(restore(pair, INTERVAL, alpha), expected) < EXACT
        as_adapter = directory / f"adapter-{alpha}"
        if alpha in not_as_adapter:
            with pytest.raises(ValueError, match=r"as a merged checkpoint|the hybrid is the base model"):
                build_adapter(
                    resolve_pair(base, adapter=adapter), INTERVAL, as_adapter, BuildOptions(alpha=alpha)
                )
            assert not as_adapter.exists()
        else:
            build_adapter(
                resolve_pair(base, adapter=adapter), INTERVAL, as_adapter, BuildOptions(alpha=alpha)
            )
            assert relative_difference(by_peft(base, as_adapter), expected) < EXACT


def hybrid_by_hand(pair: ModelPair, tuned: Any, alpha: float) -> Any:
    """Peft's own model without merging, but for the interval, whose weights are put together from merged ones."""
    hybrid: Any = copy.deepcopy(tuned)
    with quiet_libraries():
        merged = copy.deepcopy(tuned).merge_and_unload()
    for layer in range(*INTERVAL.ends):
        restored: Any = copy.deepcopy(pair.base_model.get_submodule(f"model.layers.{layer}"))
        own = merged.model.layers[layer].state_dict()
        mixed = {
            name: alpha * weight + (1 - alpha) * own[name] for name, weight in restored.state_dict().items()
        }
        restored.load_state_dict(mixed)
        hybrid.get_base_model().model.layers[layer] = restored
    return hybrid


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str, architecture: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, architecture, num_layers=3, **KINDS[kind])
    pair = check_merged(base, adapter)
    if architecture == "llama":
        check_hybrids(base, adapter, pair, tmp_path, NOT_AS_ADAPTER.get(kind, ()))


@pytest.mark.parametrize("kind", UNTIED)
def test_embedding_and_head_that_are_not_tied(kind: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, "gemma3", num_layers=3, tied=False, **UNTIED[kind])
    check_hybrids(base, adapter, check_merged(base, adapter), tmp_path, NOT_AS_ADAPTER.get(kind, ()))


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("kind", TIED_TOGETHER)
def test_tied_embedding_and_head_trained_as_one(kind: str, architecture: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, architecture, num_layers=3, tied=True, **TIED_TOGETHER[kind])
    # peft's own merge adds a LoRA of the two twice; what it computes without merging is what was trained.
    pair = check_merged(base, adapter, merged="full" in kind or kind == "tokens")
    assert pair.instruct_model.lm_head.weight is pair.instruct_model.model.embed_tokens.weight
    if architecture == "gemma3":
        check_hybrids(base, adapter, pair, tmp_path)


@pytest.mark.parametrize("kind", BIASES)
def test_biases(kind: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, "qwen2", num_layers=3, **BIASES[kind])
    check_hybrids(base, adapter, check_merged(base, adapter), tmp_path, NOT_AS_ADAPTER.get(kind, ()))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("qwen2", BIASES["all"]),
        ("llama", KINDS["PiSSA"]),
        ("llama", KINDS["parameters"]),
        ("gemma3", KINDS["DoRA"]),
        ("gemma3", KINDS["tokens"]),
        ("gemma3", {**TIED_TOGETHER["both"], "tied": True}),
    ],
)
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_merged_checkpoints(architecture: str, options: dict[str, Any], alpha: float, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, architecture, num_layers=3, **options)
    build(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "out", BuildOptions(alpha=alpha))
    with quiet_libraries():
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = hybrid_by_hand(load_pair(base, adapter=adapter), by_peft(base, adapter), alpha)
    assert relative_difference(found, expected) < EXACT


@pytest.mark.parametrize("kind", TIED_APART)
def test_tied_embedding_and_head_trained_apart(kind: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3, tied=True, **TIED_APART[kind])
    for run in (
        lambda: load_pair(base, adapter=adapter),
        lambda: build(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "out"),
        lambda: build_adapter(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "out"),
    ):
        with pytest.raises(
            ValueError, match="save the base model with tie_word_embeddings=False and a copy"
        ) as error:
            run()
        assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]
    # What it says to do.
    with quiet_libraries():
        tied: Any = AutoModelForCausalLM.from_pretrained(base)
        untied: Any = AutoModelForCausalLM.from_pretrained(base, tie_word_embeddings=False)
        untied.lm_head.weight.data = tied.model.embed_tokens.weight.data.clone()
        untied.save_pretrained(tmp_path / "untied")
    make_tokenizer().save_pretrained(tmp_path / "untied")
    pair = load_pair(tmp_path / "untied", adapter=adapter)
    assert relative_difference(pair.instruct_model, by_peft(base, adapter)) < EXACT


@pytest.mark.parametrize("init", ["pissa_niter_2", "corda", "lora_ga", "loftq"])
def test_initialisations_that_cannot_be_done_again(init: str, tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3)
    change_config(adapter, init_lora_weights=init)
    with pytest.raises(ValueError, match="call merge_and_unload where it was trained, save that") as error:
        load_pair(base, adapter=adapter)
    assert "init_lora_weights" in str(error.value)


def corda_statistics(model: Any, config: LoraConfig) -> None:
    @torch.no_grad()
    def run() -> None:
        for _ in range(20):
            model(torch.randint(5, 300, (1, 40)))

    preprocess_corda(model, config, run_model=run)


def lora_ga_gradients(model: Any, config: LoraConfig) -> None:
    tokens = torch.randint(5, 300, (1, 40))
    preprocess_loraga(model, config, lambda: model(tokens, labels=tokens).loss.backward())


@pytest.mark.parametrize(
    "options",
    [
        {"init_lora_weights": "pissa_niter_2"},
        {"init_lora_weights": "corda", "corda_config": CordaConfig(), "prepare": corda_statistics},
        {"init_lora_weights": "lora_ga", "lora_ga_config": LoraGAConfig(), "prepare": lora_ga_gradients},
    ],
    ids=lambda options: options["init_lora_weights"],
)
@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_the_advice_for_what_cannot_be_done_again(options: dict[str, Any], tmp_path: Path) -> None:
    """Not of LoftQ, which needs bitsandbytes and a GPU."""
    base, adapter = make_adapter(tmp_path, num_layers=3)
    tuned = train(base, target_modules=ATTENTION, **options)
    with quiet_libraries():
        tuned.save_pretrained(str(adapter))
    with pytest.raises(ValueError, match="call merge_and_unload where it was trained, save that"):
        load_pair(base, adapter=adapter)
    expected = copy.deepcopy(tuned)
    with quiet_libraries():
        tuned.merge_and_unload().save_pretrained(tmp_path / "merged")
    make_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(tmp_path / "merged")
    assert relative_difference(load_pair(base, tmp_path / "merged").instruct_model, expected) < EXACT


@pytest.mark.parametrize(
    "field",
    [
        {"kasa_config": KasaConfig()},
        {"velora_config": VeloraConfig()},
        {"monteclora_config": MontecloraConfig()},
        {"use_bdlora": BdLoraConfig(target_modules_bd_a=["v_proj"], match_strict=False, nblocks=2)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_kinds_that_peft_is_to_merge(field: dict[str, Any], tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3, target_modules=ATTENTION, **field)
    with pytest.raises(
        ValueError, match=rf"{next(iter(field))} in adapter_config.json.*merge it with peft's"
    ):
        load_pair(base, adapter=adapter)
    reference = by_peft(base, adapter)
    with quiet_libraries():
        by_peft(base, adapter, merge=True).save_pretrained(tmp_path / "merged")
    make_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(tmp_path / "merged")
    assert relative_difference(load_pair(base, tmp_path / "merged").instruct_model, reference) < EXACT


def test_a_kind_that_peft_heeds_for_quantized_models_only(tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3, use_qalora=True, qalora_group_size=8)
    with pytest.raises(
        ValueError, match=r"on a full-precision model, set use_qalora to false there, else give"
    ):
        load_pair(base, adapter=adapter)
    reference = by_peft(base, adapter)
    change_config(adapter, use_qalora=False)
    assert relative_difference(load_pair(base, adapter=adapter).instruct_model, reference) < EXACT


def test_pissa_that_was_converted_to_lora(tmp_path: Path) -> None:
    base, adapter = make_adapter(tmp_path, num_layers=3)
    tuned = train(base, init_lora_weights="pissa", target_modules=ATTENTION, noise=0.0)
    tuned.peft_config["default"].init_lora_weights = True
    with quiet_libraries():
        tuned.save_pretrained(str(tmp_path / "start"))
        move(tuned, noise=0.2)
        trained = copy.deepcopy(tuned)
        tuned.save_pretrained(str(adapter), path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    pair = check_merged(base, adapter)
    assert relative_difference(pair.instruct_model, trained) < EXACT
    check_hybrids(base, adapter, pair, tmp_path)


def test_names_of_an_earlier_transformers(tmp_path: Path) -> None:
    """Gemma 3 with images, whose modules had other names, which peft still reads."""
    text = CONFIG_MAPPING["gemma3_text"](**make_model("gemma3", num_layers=2).config.to_dict())
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    images = {"image_size": 28, "patch_size": 14, "vision_use_head": False}
    fields: dict[str, Any] = {
        "text_config": text.to_dict(),
        "vision_config": {**vision, **images},
        "mm_tokens_per_image": 4,
        "image_token_index": 3,
    }
    config = CONFIG_MAPPING["gemma3"](**fields)
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    torch.manual_seed(0)
    with quiet_libraries():
        AutoModelForCausalLM.from_config(config).save_pretrained(base)
        make_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(base)
        train(base, target_modules=r".*language_model.*[qv]_proj").save_pretrained(str(adapter))
    check_merged(base, adapter)
    path = adapter / "adapter_model.safetensors"
    earlier = {
        name.replace("model.language_model.", "language_model.model."): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(earlier, path)
    check_merged(base, adapter)
    with pytest.raises(
        ValueError, match="names its tensors after module names of an earlier version of transformers"
    ):
        build_adapter(resolve_pair(base, adapter=adapter), INTERVAL, tmp_path / "out")
    earlier.popitem()
    save_file(earlier, path)
    with pytest.raises(IncompatiblePairError, match="in the adapter, but the base model has no such module"):
        load_pair(base, adapter=adapter)
