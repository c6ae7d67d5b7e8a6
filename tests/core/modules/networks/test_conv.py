import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import (
    Conv2dNet,
    ConvNet,
)


def kinds(net):
    return [type(layer).__name__ for layer in net]


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
