from __future__ import annotations

import pytest
from torch import nn

from slr.models.components import component_of, tensors_of


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("self_attn.q_proj.weight", "attention"),
        ("self_attn.q_norm.weight", "attention"),
        ("self_attention.query_key_value.bias", "attention"),
        ("mlp.gate_proj.weight", "mlp"),
        ("mlp.experts.3.down_proj.weight", "mlp"),
        ("block_sparse_moe.gate.weight", "mlp"),
        ("input_layernorm.weight", "norms"),
        ("post_attention_layernorm.weight", "norms"),
        ("pre_feedforward_layernorm.weight", "norms"),
        ("ln_1.weight", "norms"),
    ],
)
def test_the_outermost_submodule_decides(name: str, component: str) -> None:
    assert component_of(name) == component


@pytest.mark.parametrize("name", ["layer_scalar", "mixer.in_proj.weight", "fc1.weight"])
def test_a_tensor_of_no_component_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"tensor {name} belongs to no component"):
        component_of(name)


def test_a_layer_with_one_unknown_parameter_is_refused() -> None:
    layer = nn.ModuleDict({"self_attn": nn.Linear(2, 2), "adapter": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=r"adapter\.weight"):
        tensors_of(layer, ["attention"])
