"""Each use of what is not public in transformers, by what it must do; run these after every new release."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from torch import nn
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3Config,
    LlamaConfig,
    Mistral3Config,
    MixtralConfig,
)

from slr.models.decoder import decoder_layers
from slr.models.transformers_internals import (
    attention_function,
    attention_implementation,
    conversion_rules,
    convert_tekken,
    in_loading_order,
    install_capturing_hooks,
    is_dispatched,
    is_listed,
    make_buffers,
    model_name_of,
    rebind_dispatched_forward,
    render_template,
    save_model,
    set_attention_implementation,
    supports_sdpa,
    tied_weights,
)
from tests.second_process import second_process
from tests.tiny_models import CHAT_TEMPLATE, make_model, spread_over_devices

TOKENS = torch.arange(5, 15)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def test_which_configurations_an_automatic_class_has_a_model_for() -> None:
    assert is_listed(AutoModelForCausalLM, LlamaConfig())
    assert not is_listed(AutoModelForImageTextToText, LlamaConfig())
    assert is_listed(AutoModelForImageTextToText, Mistral3Config())
    assert not is_listed(AutoModelForCausalLM, Mistral3Config())
    assert is_listed(AutoModelForImageTextToText, Gemma3Config())


def test_every_process_can_write_a_model(tmp_path: Path) -> None:
    model = make_model("llama")
    with second_process():
        save_model(model, tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), logits(model))
    assert "should_save_on_this_rank" not in vars(model)


def test_tied_weights_share_their_memory() -> None:
    model = make_model("qwen2", tied=True)
    assert tied_weights(model) == {"lm_head.weight": "model.embed_tokens.weight"}
    for name, other in tied_weights(model).items():
        assert model.get_parameter(name) is model.get_parameter(other)
    assert not tied_weights(make_model("qwen2", tied=False))


def test_which_architectures_have_scaled_dot_product_attention() -> None:
    assert supports_sdpa(make_model("llama"))
    assert not supports_sdpa(make_model("gemma2"))  # because of its softcapping


def test_the_attention_implementation_that_is_set_is_the_one_that_computes() -> None:
    model = make_model("llama")
    calls: list[nn.Module] = []

    def attend(module: nn.Module, *arguments: Any, **options: Any) -> Any:
        calls.append(module)
        return attention_function(module, "sdpa")(module, *arguments, **options)

    AttentionInterface.register("test_counting", attend)
    expected = logits(model)
    assert attention_implementation(model.config) == "sdpa"
    set_attention_implementation(model.config, "test_counting")
    assert attention_implementation(model.config) == "test_counting"
    assert torch.equal(logits(model), expected)
    assert len(calls) == len(decoder_layers(model))


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral"])
def test_both_attention_functions_compute_the_same(architecture: str) -> None:
    model = make_model(architecture)
    attention = decoder_layers(model)[0].get_submodule("self_attn")
    heads, key_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, count, 6, 8, generator=generator) for count in (heads, key_heads, key_heads)
    )
    mask = torch.zeros(6, 6).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)[None, None]
    eager, sdpa = (
        attention_function(attention, name)(attention, query, key, value, mask, scaling=0.3)[0]
        for name in ("eager", "sdpa")
    )
    torch.testing.assert_close(eager, sdpa)


def test_with_hooks_installed_swapped_layers_show_their_hidden_states() -> None:
    model, other = make_model("llama", seed=0), make_model("llama", seed=1)
    for each in (model, other):
        install_capturing_hooks(each)
    layers = decoder_layers(model)
    layers[1] = decoder_layers(other)[1]
    entered: list[torch.Tensor] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0]))
    with torch.no_grad():
        hidden = model(TOKENS, output_hidden_states=True).hidden_states
    assert len(hidden) == len(layers) + 1
    assert all(torch.equal(found, expected) for found, expected in zip(hidden, entered, strict=False))


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_buffers_are_made_as_in_a_new_model(architecture: str) -> None:
    model = make_model(architecture)
    expected = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert expected
    for module in model.modules():
        own = dict(module.named_buffers(recurse=False))
        for buffer in own.values():
            buffer.fill_(torch.nan if buffer.is_floating_point() else -1)
        if own:
            make_buffers(model, module)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, expected[name]), name


def test_a_copy_of_a_dispatched_module_computes_with_its_own_weights() -> None:
    model = make_model("llama")
    assert not is_dispatched(model)
    spread_over_devices(model)
    assert is_dispatched(model)
    head = model.get_submodule("lm_head")
    clone = head.__new__(type(head))
    clone.__dict__.update({k: copy.copy(v) if isinstance(v, dict) else v for k, v in vars(head).items()})
    clone.weight = nn.Parameter(2 * head.get_parameter("weight"))
    hidden = torch.randn(1, 3, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(clone(hidden), head(hidden)), "as copied, it computes with the original"
    rebind_dispatched_forward(clone)
    torch.testing.assert_close(clone(hidden), 2 * head(hidden))


def test_names_in_the_files_of_a_mixture_of_experts_become_the_models() -> None:
    config = MixtralConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
        vocab_size=16,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    known = model.state_dict()
    rules = conversion_rules(model)
    found, pattern = model_name_of("model.layers.0.block_sparse_moe.experts.1.w2.weight", model, rules, known)
    assert found == "model.layers.0.mlp.experts.down_proj"
    assert found in known
    assert pattern in {pattern for rule in rules[1] for pattern in rule.source_patterns}
    norm = "model.layers.0.input_layernorm.weight"
    assert model_name_of(norm, model, rules, known) == (norm, None)


def test_names_are_in_the_order_of_their_numbers() -> None:
    assert in_loading_order(["experts.10.w1", "experts.2.w1", "a"]) == ["a", "experts.2.w1", "experts.10.w1"]


def test_a_chat_is_rendered_as_by_jinja() -> None:
    messages = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
    expected = jinja2.Template(CHAT_TEMPLATE).render(messages=messages)
    assert render_template(messages, CHAT_TEMPLATE).rstrip("\n") == expected.rstrip("\n")


@pytest.mark.skipif(
    importlib.util.find_spec("mistral_common") is None, reason="mistral-common is not installed"
)
def test_a_tekken_file_becomes_a_tokenizer() -> None:
    import mistral_common  # pyright: ignore[reportMissingImports]

    assert mistral_common.__file__ is not None
    tokenizer = convert_tekken(Path(mistral_common.__file__).parent / "data" / "tekken_240911.json")
    assert tokenizer.decode(tokenizer("Hello there")["input_ids"], skip_special_tokens=True) == "Hello there"
