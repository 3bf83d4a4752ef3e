"""Hybrids in memory against an independent assembly of the state dict by tensor name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from slr.crc.prompts import load_prompts
from slr.crc.search import search
from slr.hybrid import interpolate, interpolate_tensor, restore, restore_layers, with_layers
from slr.intervals import LayerInterval
from slr.models.decoder import decoder_layers
from slr.models.loading import ModelPair, load_pair
from slr.vocabulary import Component
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES, spread_over_devices

NUM_LAYERS = 5
INTERVALS = [(0, 2), (3, 5), (2, 3), (0, 5), (2, 2)]
"""At either end, of length one, full and empty."""

OpenPair = Callable[..., ModelPair]


@pytest.fixture(scope="module")
def open_pair(checkpoint_pairs: CheckpointPairs) -> OpenPair:
    def open_pair(architecture: str, **options: object) -> ModelPair:
        return load_pair(*checkpoint_pairs(architecture, **options))

    return open_pair


def assembled(pair: ModelPair, interval: LayerInterval, alpha: float = 1.0) -> dict[str, torch.Tensor]:
    """The reference: by name, ``model.layers.N.`` is restored for N in the interval."""
    base = pair.base_model.state_dict()
    state = {}
    for name, tensor in pair.instruct_model.state_dict().items():
        match = re.match(r"model\.layers\.(\d+)\.", name)
        restored = match is not None and int(match[1]) in interval
        state[name] = (1 - alpha) * tensor + alpha * base[name] if restored else tensor
    return state


def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(torch.arange(5, 35)[None]).logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_assembly_by_name_bit_for_bit(open_pair: OpenPair, architecture: str, tied: bool) -> None:
    pair = open_pair(architecture, tied=tied)
    before = {name: tensor.clone() for name, tensor in pair.instruct_model.state_dict().items()}
    for ends in INTERVALS:
        interval = LayerInterval(*ends)
        hybrid = restore(pair, interval)
        expected = assembled(pair, interval)
        state = hybrid.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        reference = type(pair.instruct_model)(pair.instruct_model.config).eval()
        reference.load_state_dict(expected)
        assert torch.equal(logits(hybrid), logits(reference))
    after = pair.instruct_model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shares_every_tensor(open_pair: OpenPair) -> None:
    pair = open_pair("llama")
    hybrid = restore(pair, LayerInterval(1, 3))
    sources = [*pair.base_model.parameters(), *pair.instruct_model.parameters()]
    assert all(any(parameter is source for source in sources) for parameter in hybrid.parameters())


def test_empty_interval_is_the_instruct_model(open_pair: OpenPair) -> None:
    pair = open_pair("qwen2")
    assert torch.equal(logits(restore(pair, LayerInterval(0, 0))), logits(pair.instruct_model))


def test_changing_the_hybrid_leaves_the_pair_alone(open_pair: OpenPair) -> None:
    pair = open_pair("gemma2")
    expected = logits(pair.instruct_model)
    layers = list(decoder_layers(pair.instruct_model))
    hybrid = restore(pair, LayerInterval(1, 3))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    hybrid.register_forward_pre_hook(fail)
    hybrid.generation_config.max_new_tokens = 3  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(KeyboardInterrupt):
        logits(hybrid)
    assert list(decoder_layers(pair.instruct_model)) == layers
    assert torch.equal(logits(pair.instruct_model), expected)
    assert pair.instruct_model.generation_config.max_new_tokens != 3  # pyright: ignore[reportOptionalMemberAccess]


def test_partial_restoration(open_pair: OpenPair) -> None:
    pair = open_pair("mistral")
    interval = LayerInterval(0, 2)
    expected = assembled(pair, interval, alpha=0.3)
    state = restore(pair, interval, alpha=0.3).state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.5, 0.85])
def test_tensors_of_16_bits_are_interpolated_in_float32(dtype: torch.dtype, alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    instruct, base = (torch.randn(10_007, generator=generator).to(dtype) for _ in range(2))
    wide = torch.promote_types(dtype, torch.float32)
    expected = torch.lerp(instruct.to(wide), base.to(wide), alpha).to(dtype)
    assert torch.equal(interpolate_tensor(instruct, base, alpha), expected)
    from_float32 = interpolate_tensor(instruct, base.float(), alpha)
    assert from_float32.dtype == dtype


@pytest.mark.parametrize("tied", [True, False])
def test_soup_is_linear_and_exact_at_its_ends(open_pair: OpenPair, tied: bool) -> None:
    pair = open_pair("olmo2", tied=tied)
    instruct, base = pair.instruct_model.state_dict(), pair.base_model.state_dict()
    for alpha, exact in ((0.0, instruct), (1.0, base)):
        state = interpolate(pair, alpha).state_dict()
        assert all(torch.equal(state[name], exact[name]) for name in exact)
    half = interpolate(pair, 0.5).state_dict()
    for name in instruct:
        torch.testing.assert_close(half[name], (instruct[name] + base[name]) / 2)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_generates_and_saves_as_any_model(open_pair: OpenPair, architecture: str, tmp_path: Path) -> None:
    pair = open_pair(architecture)
    hybrid: Any = restore(pair, LayerInterval(2, 5))
    prompt = torch.arange(5, 25)[None]
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    generated = hybrid.generate(prompt, **options)
    hybrid.save_pretrained(tmp_path)
    loaded: Any = type(hybrid).from_pretrained(
        tmp_path, attn_implementation=hybrid.config._attn_implementation
    )
    assert torch.equal(loaded.generate(prompt, **options), generated)
    assert torch.equal(logits(loaded), logits(hybrid))


def test_hidden_states_come_from_the_hybrid(open_pair: OpenPair) -> None:
    pair = open_pair("llama")
    tokens = torch.arange(5, 25)[None]
    of_instruct = pair.instruct_model(tokens, output_hidden_states=True).hidden_states
    of_hybrid = restore(pair, LayerInterval(2, 3))(tokens, output_hidden_states=True).hidden_states
    assert len(of_hybrid) == NUM_LAYERS + 1
    same = [torch.equal(a, b) for a, b in zip(of_instruct, of_hybrid, strict=True)]
    assert same == [True] * 3 + [False] * 3


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5])
def test_alpha_outside_is_refused(open_pair: OpenPair, alpha: float) -> None:
    with pytest.raises(ValueError, match=rf"alpha is {alpha}, expected a number in \(0, 1\]"):
        restore(open_pair("llama"), LayerInterval(0, 1), alpha)
    if alpha:
        with pytest.raises(ValueError, match=rf"alpha is {alpha}, expected a number in \[0, 1\]"):
            interpolate(open_pair("llama"), alpha)


def test_interval_beyond_the_model_is_refused(open_pair: OpenPair) -> None:
    with pytest.raises(ValueError, match="3:6 does not fit a model of 5 decoder layers"):
        restore(open_pair("llama"), LayerInterval(3, 6))


def test_layers_that_differ_are_named(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("qwen3"))
    projection: Any = decoder_layers(pair.base_model)[2].get_submodule("mlp.up_proj")
    projection.weight = torch.nn.Parameter(projection.weight[:-1].clone())
    shapes = r"instruct \(64, 32\), base \(63, 32\)"
    with pytest.raises(ValueError, match=rf"decoder layer 2 .*mlp.up_proj.weight: {shapes}"):
        restore(pair, LayerInterval(1, 4))


def test_a_pair_spread_over_devices_gives_the_same_hybrids_and_is_unharmed(
    checkpoint_pairs: CheckpointPairs,
) -> None:
    """With accelerate's hooks around every module, as a device map has them; all are on the CPU here."""
    directories = checkpoint_pairs("gemma2")
    plain, spread = load_pair(*directories), load_pair(*directories)
    for model in (spread.base_model, spread.instruct_model):
        spread_over_devices(model)
        assert all("_hf_hook" in vars(module) for module in (model, *decoder_layers(model)))
    interval = LayerInterval(1, 3)
    for alpha in (1.0, 0.5):
        assert torch.equal(logits(restore(plain, interval, alpha)), logits(restore(spread, interval, alpha)))
    assert torch.equal(logits(interpolate(plain, 0.5)), logits(interpolate(spread, 0.5)))
    assert torch.equal(logits(plain.instruct_model), logits(spread.instruct_model))
    prompts = load_prompts("selection")[:3]
    assert search(plain, prompts).intervals == search(spread, prompts).intervals


def test_a_forward_that_somebody_else_replaced_is_refused(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    pair.instruct_model.forward = lambda *_: None
    with pytest.raises(ValueError, match="has a forward function of its own"):
        restore(pair, LayerInterval(1, 2))


def test_a_part_whose_forward_is_bound_to_the_original_is_not_mixed(
    checkpoint_pairs: CheckpointPairs,
) -> None:
    """As tensor parallelism of transformers binds it: a copy would compute with the instruct model's weights."""
    pair = load_pair(*checkpoint_pairs("llama"))
    projection: Any = decoder_layers(pair.instruct_model)[1].get_submodule("mlp.up_proj")
    projection.forward = projection.forward
    with pytest.raises(ValueError, match="Linear has a forward function of its own"):
        restore(pair, LayerInterval(1, 2), alpha=0.5)
    with pytest.raises(ValueError, match="Linear has a forward function of its own"):
        interpolate(pair, 0.5)


def test_the_search_of_a_pair_spread_over_devices_computes_with_the_layers_where_they_are(
    checkpoint_pairs: CheckpointPairs,
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    used: set[int] = set()
    for model in (pair.base_model, pair.instruct_model):
        spread_over_devices(model)
        for layer in decoder_layers(model):
            layer.register_forward_pre_hook(
                lambda module, _: used.update(weight.data_ptr() for weight in module.parameters())
            )
    search(pair, load_prompts("selection")[:3])
    layers = [*decoder_layers(pair.base_model), *decoder_layers(pair.instruct_model)]
    assert used == {weight.data_ptr() for layer in layers for weight in layer.parameters()}


ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"}
MLP = {"gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("components", [("attention",), ("mlp",), ("norms",), ("attention", "mlp")])
def test_components_equal_assembly_by_name(
    open_pair: OpenPair, architecture: str, components: tuple[Component, ...], alpha: float
) -> None:
    pair = open_pair(architecture)
    state = restore(pair, LayerInterval(1, 4), alpha, components).state_dict()
    whole = assembled(pair, LayerInterval(1, 4), alpha)
    instruct = pair.instruct_model.state_dict()
    for name, tensor in state.items():
        module = name.split(".")[-2]
        component = "attention" if module in ATTENTION else "mlp" if module in MLP else "norms"
        expected = whole if component in components else instruct
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(state[name], instruct[name]) for name in state)


def test_all_components_are_the_whole_layer(open_pair: OpenPair) -> None:
    pair = open_pair("gemma3")
    whole = restore(pair, LayerInterval(1, 3), components=("norms", "mlp", "attention"))
    assert all(
        a is b
        for a, b in zip(whole.parameters(), restore(pair, LayerInterval(1, 3)).parameters(), strict=True)
    )


@pytest.mark.parametrize("components", [(), ("mlp", "mlp"), ("mpl",)])
def test_unknown_components_are_refused(open_pair: OpenPair, components: Any) -> None:
    with pytest.raises(ValueError, match="expected one or more of attention, mlp, norms, each once"):
        restore(open_pair("llama"), LayerInterval(0, 1), components=components)


def test_a_set_of_layers_equals_a_list_of_layers(open_pair: OpenPair) -> None:
    pair = open_pair("qwen2")
    chosen = {0, 2, 4}
    by_hand = [
        (decoder_layers(pair.base_model) if index in chosen else decoder_layers(pair.instruct_model))[index]
        for index in range(NUM_LAYERS)
    ]
    assert torch.equal(
        logits(restore_layers(pair, chosen)), logits(with_layers(pair.instruct_model, by_hand))
    )
    with pytest.raises(ValueError, match="layer 5 given for a model of 5 layers"):
        restore_layers(pair, [5])
