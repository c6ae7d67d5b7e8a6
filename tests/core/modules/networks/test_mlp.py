import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import (
    MLP,
    NoisyLinear,
)


def kinds(net):
    return [type(layer).__name__ for layer in net]


class TestMLP:
    def test_layers(self):
        net = MLP(in_features=3, out_features=6, num_cells=[4, 5])
        assert kinds(net) == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
        assert [tuple(p.shape) for p in net.parameters()][::2] == [(4, 3), (5, 4), (6, 5)]
        assert list(net.state_dict())[:2] == ["0.weight", "0.bias"]

    @pytest.mark.parametrize(
        ("kwargs", "hidden"),
        [({}, []), ({"depth": 0}, []), ({"depth": 2}, [32, 32]), ({"num_cells": []}, [])],
    )
    def test_default_widths(self, kwargs, hidden):
        net = MLP(in_features=3, out_features=6, **kwargs)
        assert [layer.out_features for layer in net if isinstance(layer, nn.Linear)] == [*hidden, 6]

    def test_output_shape(self):
        assert MLP(in_features=3, out_features=(2, 3))(torch.zeros(7, 3)).shape == (7, 2, 3)

    def test_lazy_input(self):
        net = MLP(out_features=2, num_cells=[4])
        assert isinstance(net[0], nn.LazyLinear)
        assert net(torch.zeros(7, 5)).shape == (7, 2)
        noisy = MLP(out_features=2, layer_class=NoisyLinear)
        assert noisy(torch.zeros(7, 5)).shape == (7, 2)
        assert type(noisy[0]) is NoisyLinear

    def test_several_inputs_are_concatenated(self):
        net = MLP(in_features=5, out_features=1)
        left, right = torch.randn(7, 3), torch.randn(7, 2)
        assert torch.equal(net(left, right), net(torch.cat([left, right], -1)))

    def test_norm_dropout_and_activation(self):
        net = MLP(
            in_features=3,
            out_features=2,
            num_cells=[4, 5],
            activation_class=nn.ELU,
            activation_kwargs=[{"alpha": 1.0}, {"alpha": 2.0}],
            norm_class=nn.LayerNorm,
            norm_kwargs=[{"normalized_shape": 4}, {"normalized_shape": 5}],
            dropout=0.1,
            bias_last_layer=False,
        )
        block = ["Linear", "Dropout", "LayerNorm", "ELU"]
        assert kinds(net) == [*block, *block, "Linear"]
        assert net[7].alpha == 2.0
        assert net[-1].bias is None

    def test_last_layer_options(self):
        shared = MLP(in_features=3, out_features=2, single_bias_last_layer=True)
        assert shared[0].bias is None
        assert shared[1].bias.shape == (1,)
        assert kinds(MLP(in_features=3, out_features=2, activate_last_layer=True))[-1] == "Tanh"

    def test_activation_alias(self):
        assert kinds(MLP(in_features=3, out_features=2, depth=1, activation=nn.ELU))[1] == "ELU"

    def test_bad_input(self):
        with pytest.raises(ShapeError, match="pass `out_features=`"):
            MLP(in_features=3)
        with pytest.raises(ShapeError, match="drop `depth`"):
            MLP(in_features=3, out_features=2, depth=3, num_cells=[4])
        with pytest.raises(ShapeError, match=r"`num_cells=\[4, 4\]`"):
            MLP(in_features=3, out_features=2, num_cells=4)
        with pytest.raises(ShapeError, match="pass `in_features=` to `MLP`"):
            MLP(out_features=2, layer_class=lambda *_, **__: nn.Identity())
