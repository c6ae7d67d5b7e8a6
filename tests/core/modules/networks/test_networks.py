import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import (
    MLP,
    Conv2dNet,
    ConvNet,
    DdpgMlpActor,
    DdpgMlpQNet,
    DuelingCnnDQNet,
    DuelingMlpDQNet,
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


class TestConvNet:
    def test_defaults(self):
        net = ConvNet()
        assert kinds(net) == ["LazyConv2d", "ELU", "Conv2d", "ELU", "Conv2d", "ELU", "SquashDims"]
        assert net.out_features == 32

    @pytest.mark.parametrize("batch", [(), (2,), (5, 2)])
    def test_any_batch(self, batch):
        net = ConvNet(in_features=3, num_cells=[4, 5], kernel_sizes=[3, 5], strides=[2, 1])
        # (20 - 3) // 2 + 1 = 9, 9 - 5 + 1 = 5: 5 * 5 * 5 features
        assert net(torch.zeros(*batch, 3, 20, 20)).shape == (*batch, 125)

    def test_batched_result_is_the_stack_of_results(self):
        net, x = ConvNet(in_features=3, num_cells=[4]), torch.randn(2, 3, 8, 8)
        torch.testing.assert_close(net(x)[1], net(x[1]))

    def test_aggregator_and_squeeze(self):
        net = ConvNet(
            num_cells=[4],
            aggregator_class=nn.AdaptiveAvgPool2d,
            aggregator_kwargs={"output_size": (1, 1)},
            squeeze_output=True,
        )
        assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
        assert ConvNet(num_cells=[4], aggregator_class=None)(torch.zeros(2, 3, 8, 8)).shape == (
            2,
            4,
            6,
            6,
        )

    def test_norm_padding_and_bias(self):
        net = ConvNet(
            num_cells=[4, 4],
            paddings=1,
            kernel_sizes=3,
            norm_class=nn.BatchNorm2d,
            norm_kwargs={"num_features": 4},
            bias_last_layer=False,
        )
        assert kinds(net)[:3] == ["LazyConv2d", "ELU", "BatchNorm2d"]
        assert net[3].bias is None
        assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 4 * 64)

    def test_bad_input(self):
        with pytest.raises(ShapeError, match="give one entry per layer"):
            ConvNet(num_cells=[4, 4], kernel_sizes=[3])
        with pytest.raises(ShapeError, match="`ToTensorImage`"):
            ConvNet()(torch.zeros(8, 8))

    def test_alias(self):
        assert Conv2dNet is ConvNet


class TestDueling:
    def test_advantages_have_no_mean(self):
        net = DuelingMlpDQNet(out_features=4)
        x = torch.randn(6, 3)
        values = net(x)
        assert values.shape == (6, 4)
        state = net.value(net.features(x))
        torch.testing.assert_close(values.mean(-1, keepdim=True), state)

    def test_arguments(self):
        net = DuelingMlpDQNet(
            out_features=4,
            mlp_kwargs_feature={"num_cells": [5, 6], "in_features": 3},
            mlp_kwargs_output={"num_cells": 7},
        )
        assert [m.out_features for m in net.features if isinstance(m, nn.Linear)] == [5, 6, 256]
        assert net.advantage[0].out_features == 7

    def test_images(self):
        net = DuelingCnnDQNet(out_features=4)
        assert net(torch.zeros(2, 4, 84, 84)).shape == (2, 4)
        assert net.advantage[0].in_features == 3136


class TestDdpg:
    def test_actor(self):
        net = DdpgMlpActor(action_dim=2)
        assert net(torch.randn(5, 3)).shape == (5, 2)
        assert net.mlp[-1].weight.abs().max() <= 3e-3

    def test_critic(self):
        net = DdpgMlpQNet()
        assert net(torch.zeros(5, 3), torch.zeros(5, 2)).shape == (5, 1)
        assert net.mlp2[0].in_features == 402
        small = DdpgMlpQNet({"out_features": 8}, {"num_cells": [9]})
        assert small(torch.zeros(5, 3), torch.zeros(5, 2)).shape == (5, 1)
        assert small.mlp2[0].in_features == 10
