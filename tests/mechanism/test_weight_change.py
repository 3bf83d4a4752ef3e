"""The change of the weights, against numbers worked out by hand and against the whole tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slr.mechanism.weight_change import LayerChange, layer_change, weight_changes
from slr.models.loading import load_pair
from tests.conftest import CheckpointPairs


class Layer(nn.Module):
    def __init__(self, attention: list[float], mlp: list[float], norm: list[float]) -> None:
        super().__init__()
        self.self_attn = nn.ParameterDict({"q_proj": torch.tensor(attention), "q_norm": torch.tensor(norm)})
        self.mlp = nn.ParameterDict({"up_proj": torch.tensor(mlp)})
        self.input_layernorm = nn.ParameterDict({"weight": torch.tensor(norm)})


def test_the_change_is_the_norm_of_the_difference_over_the_norm() -> None:
    base = Layer([3.0, 4.0], [2.0], [1.0])
    # The attention has a norm of its own: (0, 1, 0.5) over (3, 4, 1). The MLP moves by 3 of 2, the other norm by 0.5.
    change = layer_change(base, Layer([3.0, 5.0], [5.0], [1.5]))
    assert (change.attention, change.mlp, change.norms) == pytest.approx(((1.25 / 26) ** 0.5, 1.5, 0.5))


def test_equal_weights_have_no_change_and_weights_of_zero_have_none_to_measure() -> None:
    assert layer_change(Layer([1.0], [0.0], [1.0]), Layer([1.0], [1.0], [1.0])) == LayerChange(
        attention=0.0, mlp=None, norms=0.0
    )


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2", "olmo2"])
def test_the_change_of_a_real_layers_mlp_is_of_all_its_tensors_together(
    checkpoint_pairs: CheckpointPairs, architecture: str
) -> None:
    pair = load_pair(*checkpoint_pairs(architecture))
    changes = weight_changes(pair)
    for layer, change in enumerate(changes):
        base, instruct = (
            {
                name: tensor
                for name, tensor in model.state_dict().items()
                if name.startswith(f"model.layers.{layer}.")
            }
            for model in (pair.base_model, pair.instruct_model)
        )
        mlp = [name for name in base if ".mlp." in name]
        moved = torch.cat([(instruct[name] - base[name]).flatten() for name in mlp]).norm()
        assert change.mlp == pytest.approx(
            (moved / torch.cat([base[name].flatten() for name in mlp]).norm()).item(), rel=1e-5
        )
